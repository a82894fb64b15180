"""Searches with a real process for each trial, to the end and cut off."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from kerastune_llm.cli import main
from kerastune_llm.commands.tune_space import parse_dimension
from kerastune_llm.config import merge
from kerastune_llm.rundir import RunDir
from tests.commands.runs import tiny_job
from tests.commands.studies import search

pytest.importorskip("optuna", reason="needs Optuna: pip install '.[tune]'")


def write_job(folder: Path, **changed) -> list[str]:
    """A command that searches with a tiny model; its configuration is a file."""
    job = merge(tiny_job(folder), changed)
    del job["optim"]["learning_rate"]
    (folder / "job.json").write_text(json.dumps(job))
    return [
        *("tune", "--config", str(folder / "job.json")),
        *("--output", str(folder / "study")),
        *("--space", "optim.learning-rate=log:1e-4..1e-1", "optim.warmup=0|0.5"),
    ]


@pytest.mark.long
def test_a_real_trial_and_one_that_is_behind_and_stops_early(tmp_path, capsys):
    argv, folder = write_job(tmp_path), tmp_path / "study"
    assert main([*argv, "--trials", "1"]) == 0, capsys.readouterr().out
    run = folder / "runs" / "0000"
    score = json.loads((run / "metrics.json").read_text())["accuracy"]
    best = folder / "best.json"
    assert json.loads(best.read_text()) == json.loads(
        (folder / "configs" / "0000.json").read_text()
    )
    again = tmp_path / "again"
    assert main(["train", "--config", str(best), "--output", str(again)]) == 0
    assert json.loads((again / "metrics.json").read_text())["accuracy"] == score

    study, space = search(folder), tuple(map(parse_dimension, argv[-2:]))
    for _ in range(5):
        number = study.ask(space, seed=42)
        study.report(number, 1, 2.0)  # No accuracy is above 1.
        study.complete(number, 2.0)
    before = (run / "metrics.json").stat().st_mtime_ns
    assert main([*argv, "--trials", "7"]) == 0
    assert (run / "metrics.json").stat().st_mtime_ns == before
    table = pandas.read_csv(folder / "trials.csv")
    first, last = table.iloc[0], table.iloc[6]
    # Ten updates, evaluated every three of them and after the last.
    assert (first["score"], first["evaluations"]) == (score, 4)
    assert (last["state"], last["evaluations"]) == ("pruned", 1)
    history = RunDir(folder / "runs" / "0006").read_history()
    # Evaluated every three updates; ten were to come.
    assert history[-1]["step"] == 3


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path):
    # 150 updates with checkpoints leave time to interrupt; evaluations are dear.
    job = write_job(tmp_path, optim={"epochs": 30}, evaluation={"every": 50})
    argv = [*job, "--trials", "1"]
    command = [sys.executable, "-m", "kerastune_llm.cli", *argv]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    run = tmp_path / "study/runs/0000"
    while not list(run.glob("checkpoints/step-*")) and process.poll() is None:
        try:
            process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 130, text
    assert "the same command goes on from here" in text
    assert search(tmp_path / "study").running() == [0]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "resumed" in done.stdout
    (trial,) = search(tmp_path / "study").trials()
    assert (trial.state.name, len(trial.intermediate_values)) == ("COMPLETE", 3)
    assert trial.value == max(trial.intermediate_values.values())
