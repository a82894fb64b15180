"""The list of runs: which are in it, and in which order."""

import json
from pathlib import Path

import pytest

from kerastune_llm.cli import main
from kerastune_llm.commands.console import console
from kerastune_llm.commands.runs import show_runs


def write_run(path: Path, task: str, metrics: dict | None, method="lora") -> None:
    path.mkdir(parents=True)
    config = {"task": {"name": task}, "model": "a/t5", "method": {"name": method}}
    (path / "config.json").write_text(json.dumps(config))
    if metrics is not None:
        (path / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three finished runs of squad, one of them in a study; cola; an unfinished one."""
    write_run(tmp_path / "a", "squad", {"exact_match": 50.0, "loss": 0.2})
    write_run(tmp_path / "b", "squad", {"exact_match": float("nan"), "loss": 0.3})
    write_run(tmp_path / "study/runs/c", "squad", {"exact_match": 70.5, "loss": 0.4})
    write_run(tmp_path / "d", "cola", {"matthews_correlation": 0.25, "loss": 0.1})
    write_run(tmp_path / "e", "squad", None)
    return tmp_path


def names(runs) -> list[str]:
    return [run.path.name for run in runs]


def test_all_finished_runs_are_there_with_their_metrics(folder, capsys, monkeypatch):
    monkeypatch.setattr(console, "width", 200)
    assert main(["runs", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "4 finished" in out
    assert "matthews_correlation 0.25, loss 0.1" in out
    assert names(show_runs(folder)) == ["a", "b", "d", "c"]


def test_the_best_comes_first(folder):
    assert names(show_runs(folder, sort="exact_match")) == ["c", "a", "b"]
    assert names(show_runs(folder, sort="loss")) == ["d", "a", "b", "c"]
    assert names(show_runs(folder, task="cola", sort="loss")) == ["d"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--task", "sqad"], "Did you mean squad?"),
        (["--sort", "exact_mach"], "Did you mean exact_match?"),
        (["--task", "cola", "--sort", "exact_match"], "matthews_correlation"),
    ],
)
def test_what_is_not_there_is_refused(folder, argv, message, capsys):
    assert main(["runs", str(folder), *argv]) == 2
    assert message in capsys.readouterr().err


def test_no_folder_and_an_empty_one(tmp_path, capsys):
    assert main(["runs", str(tmp_path / "absent")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["runs", str(tmp_path)]) == 0
    assert "no finished run" in capsys.readouterr().out
