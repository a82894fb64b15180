"""The transfer matrix: what may be scored across, and how it is put together."""

import json
from pathlib import Path

import pandas
import pytest

from kerastune_llm.cli import main
from kerastune_llm.rundir import write_json
from kerastune_llm.tasks.task import get_task
from tests.commands.studies import write_finished

METRICS = {task: get_task(task).best_metric for task in ("cola", "squad")}


def values(task: str, **more) -> dict:
    return {"method": {"name": "lora"}, "task": {"name": task}, **more}


def write_cell(path: Path, task: str, score: float) -> None:
    cell = {"configuration": values(task), "metrics": {METRICS[task]: score}}
    write_json(path, cell)


@pytest.fixture
def finished(tmp_path) -> Path:
    """A study of two tasks in which nothing is left to train or to score."""
    for task, own, other, score in (
        ("cola", 0.8, "squad", 12.0),
        ("squad", 60.0, "cola", 0.2),
    ):
        write_finished(tmp_path, task, values(task), curve=[own], metric=METRICS[task])
        write_cell(tmp_path / f"runs/{task}/transfer/{other}.json", other, score)
        write_cell(tmp_path / f"untuned/{task}.json", task, 0.0)
    return tmp_path


def test_the_matrix_has_a_row_for_each_model_and_one_for_none(finished, capsys):
    assert main(f"transfer --tasks cola,squad --output {finished}".split()) == 0
    assert capsys.readouterr().out.count("finished before") == 2
    written = json.loads((finished / "transfer.json").read_text())
    assert written["scores"] == {
        "untuned": {"cola": 0.0, "squad": 0.0},
        "cola": {"cola": 0.8, "squad": 12.0},
        "squad": {"cola": 0.2, "squad": 60.0},
    }
    assert written["shares"]["cola"] == {"cola": 1.0, "squad": 0.2}
    assert written["shares"]["squad"] == {"cola": 0.25, "squad": 1.0}
    table = pandas.read_csv(finished / "transfer.csv", index_col="trained on")
    assert table.loc["squad", "cola"] == 0.2
    assert "| squad | 0.2 | 60 |" in (finished / "README.md").read_text()
    assert (finished / "transfer.png").exists()


def test_another_configuration_is_refused(finished, capsys):
    argv = f"transfer --tasks cola,squad --method ia3 --output {finished}"
    assert main(argv.split()) == 2
    err = capsys.readouterr().err
    assert "2 problems" in err and "--method lora then, ia3 now" in err


@pytest.fixture
def own_task(tmp_path_factory) -> Path:
    """A configuration file of a task with labels `yes` and `no`, and its rows."""
    folder = tmp_path_factory.mktemp("liked")
    rows = folder / "rows.csv"
    lines = [f"thing {n},{'yes' if n % 2 else 'no'}" for n in range(20)]
    rows.write_text("\n".join(["text,liked", *lines]) + "\n")
    path = folder / "liked.yaml"
    path.write_text(
        "task:\n  name: custom\n  input_template: '{text}'\n  label_column: liked\n"
        f"  labels: 'no,yes'\ndata:\n  train: {rows}\n"
    )
    return path


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "two or more tasks"),
        ("--tasks cola", "two or more tasks"),
        ("--tasks cola,cola", "two or more tasks"),
        ("--tasks cola,sqad", "Did you mean squad"),
        ("--tasks cola,squad --method lroa", "Did you mean lora"),
        ("--tasks cola,squad --method.rank x", "--method.rank"),
        ("--tasks cola,squad --data.train x.csv", "cannot serve several tasks"),
        ("--tasks cola,squad --data.validation x.csv", "cannot serve several tasks"),
        ("--tasks cola,absent.yaml", "cannot be read"),
        ("--tasks cola,squad --optim.lr 1", "Unknown flag --optim.lr"),
    ],
)
def test_what_is_refused(flags, message, tmp_path, capsys):
    assert main(f"transfer {flags} --output {tmp_path}".split()) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_tasks_with_models_of_their_own_are_refused(own_task, tmp_path, capsys):
    own_task.write_text(own_task.read_text() + "model: minilm\n")
    argv = f"transfer --tasks cola,{own_task} --output {tmp_path}/out"
    assert main(argv.split()) == 2
    assert "same base model and method" in capsys.readouterr().err


def test_a_head_does_not_transfer_to_other_labels(own_task, tmp_path, capsys):
    argv = f"transfer --tasks cola,{own_task} --model minilm --output {tmp_path}/out"
    assert main(argv.split()) == 2
    err = capsys.readouterr().err
    assert "does not transfer to a task with other labels" in err
    assert "cola: unacceptable, acceptable; liked: no, yes" in err


@pytest.mark.long
def test_models_are_scored_across_and_a_stopped_study_goes_on(
    own_task, tmp_path, capsys
):
    output = tmp_path / "out"
    argv = (
        f"transfer --tasks cola,{own_task} --optim.max-steps 2 --optim.batch-size 4 "
        f"--data.max-train-samples 8 --data.max-validation-samples 4 --output {output}"
    ).split()
    assert main(argv) == 0
    first = json.loads((output / "transfer.json").read_text())
    assert list(first["scores"]) == ["untuned", "cola", "liked"]
    assert first["metrics"] == {"cola": "matthews_correlation", "liked": "accuracy"}
    own = json.loads((output / "runs/liked/metrics.json").read_text())
    assert first["scores"]["liked"]["liked"] == own["accuracy"]

    capsys.readouterr()
    (output / "runs/cola/transfer/liked.json").unlink()
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert out.count("finished before") == 2
    assert out.count("cola on liked: accuracy") == 1
    assert "liked on cola:" not in out
    assert json.loads((output / "transfer.json").read_text()) == first
