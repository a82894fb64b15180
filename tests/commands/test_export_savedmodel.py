"""A run with an adapter, served: the same answers as `predict`."""

import json

import pytest
import tensorflow_text  # noqa: F401, the operations of the tokenizers

from kerastune_llm.backend import tf
from kerastune_llm.cli import main

ROWS = [
    {"question": "Who lives in Oslo?", "context": "Ana lives in Oslo."},
    {"question": "Where is the bank?", "context": "The bank is in Rome, near Bo."},
]


@pytest.mark.slow
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
