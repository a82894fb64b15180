"""A run with an adapter, served: the same answers as `predict`."""

import json

import pytest
import tensorflow_text  # noqa: F401, the operations of the tokenizers

from kerastune_llm.backend import tf
from kerastune_llm.cli import main
from kerastune_llm.commands.export_form import ServingOptions
from kerastune_llm.commands.exports.savedmodel import check_served, next_version
from kerastune_llm.commands.job import assemble
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from kerastune_llm.models.checkpoint import save_model
from tests.tiny_models import tiny
from tests.tiny_tokenizers import fast_tokenizer

ROWS = [
    {"question": "Who lives in Oslo?", "context": "Ana lives in Oslo."},
    {"question": "Where is the bank?", "context": "The bank is in Rome, near Bo."},
]


@pytest.mark.long
def test_lora_run_answers_as_predict_does(tmp_path):
    run, rows, answers = (tmp_path / name for name in ("run", "rows.jsonl", "a.jsonl"))
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert (
        main(
            f"train squad --method lora --output {run} --optim.max-steps 10 "
            "--evaluation.every 10 --evaluation.max-new-tokens 8 "
            "--data.max-train-samples 100 --data.max-validation-samples 10".split()
        )
        == 0
    )
    assert main(f"predict {run} --input {rows} --output {answers}".split()) == 0
    assert main(f"export {run} --to savedmodel {tmp_path / 'served'}".split()) == 0
    facts = json.loads((tmp_path / "served/squad/1/export.json").read_text())
    assert facts["compared"].endswith("answered as in Python")
    model = tf.saved_model.load(str(tmp_path / "served/squad/1"))
    columns = {name: tf.constant([row[name] for row in ROWS]) for name in ROWS[0]}
    served = model.signatures["serving_default"](**columns)["answer"].numpy()
    predicted = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [text.decode() for text in served] == [
        row["prediction"] for row in predicted
    ]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """A job with a head, and one that generates with at most 64 positions."""
    folder = tmp_path_factory.mktemp("jobs")
    for name in ("bert", "bart"):
        save_model(tiny(name), fast_tokenizer(with_types=False), folder / name)
    head = {"task": "cola", "model": str(folder / "bert")}
    data = {"max_input_tokens": 32, "max_target_tokens": 32}
    text = {"task": "squad", "model": str(folder / "bart"), "data": data}
    configs = {"head": head, "text": text}
    return {name: assemble(RunConfig.parse(c)) for name, c in configs.items()}


@pytest.mark.parametrize(
    ("job", "options", "message"),
    [
        ("head", {"num_beams": 2}, "--num-beams: for a model that generates text; "),
        ("head", {"max_new_tokens": 2}, "a head for classification"),
        ("text", {"max_new_tokens": 65}, "--max-new-tokens 64"),
        ("head", {"version": 7}, r"Version 7 of cola exists(.|\n)*--version 8"),
    ],
)
def test_what_cannot_be_served_so_is_refused(job, options, message, jobs, tmp_path):
    (tmp_path / "cola/7").mkdir(parents=True)
    (tmp_path / "models.config").touch()
    with pytest.raises(UserError, match=message):
        check_served(jobs[job], tmp_path, ServingOptions(**options))


def test_a_model_goes_beside_others_under_the_next_version(jobs, tmp_path):
    assert next_version(tmp_path / "cola") == 1
    check_served(jobs["text"], tmp_path / "new", ServingOptions(max_new_tokens=64))
    (tmp_path / "cola/9").mkdir(parents=True)
    (tmp_path / "cola/.10.half").mkdir()
    with pytest.raises(UserError, match="one with exported models"):
        check_served(jobs["head"], tmp_path, ServingOptions())
    (tmp_path / "models.config").touch()
    check_served(jobs["head"], tmp_path, ServingOptions(version=8, name="cola"))
    assert next_version(tmp_path / "cola") == 10
