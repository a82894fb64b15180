"""Runs that are cut off and taken up again end as if nothing had happened."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import kerastune_llm
from kerastune_llm.backend import keras
from kerastune_llm.cli import main
from kerastune_llm.config import merge
from kerastune_llm.errors import UserError
from kerastune_llm.training.callbacks import completed_steps
from tests.commands.runs import curves, differing, outcome
from tests.full_disk import no_file_above


class At(keras.callbacks.Callback):
    """Does something after an update, when the package's callbacks are through."""

    def __init__(self, step: int, act) -> None:
        super().__init__()
        self.step, self.act = step, act

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if completed_steps(self.model) == self.step:
            self.act()


class Crash(RuntimeError):
    pass


def crash() -> None:
    raise Crash


@pytest.fixture(scope="module")
def cut_off(job, tmp_path_factory) -> Path:
    """The same run, cut off after update 7: the checkpoint before is of update 6."""
    output = tmp_path_factory.mktemp("cut") / "run"
    with pytest.raises(Crash):
        kerastune_llm.train({**job, "output": output}, callbacks=[At(7, crash)])
    return output


def copied(run: Path, to: Path) -> Path:
    return Path(shutil.copytree(run, to / "run"))


def test_the_same_seed_gives_the_same_bits(job, unbroken, tmp_path):
    kerastune_llm.train({**job, "output": tmp_path / "run"})
    assert not differing(outcome(unbroken), outcome(tmp_path / "run"))
    other = merge(job, {"runtime": {"seed": 1}, "output": tmp_path / "other"})
    kerastune_llm.train(other)
    assert "trained" in differing(outcome(unbroken), outcome(tmp_path / "other"))


def test_made_rows_and_initial_weights_are_of_the_seed_too(job, tmp_path):
    changes = {"data": {"augment": "swap,dropout"}, "optim": {"max_steps": 3}}
    lora = {"method": {"name": "lora", "rank": 2, "dropout": 0.1}}
    values = merge(merge(job, changes), lora)
    found = []
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        seeded = merge(values, {"runtime": {"seed": seed}})
        kerastune_llm.train({**seeded, "output": tmp_path / name})
        found.append(outcome(tmp_path / name))
    log = (tmp_path / "one" / "log.txt").read_text()
    assert "swap" in log
    assert not differing(found[0], found[1])
    assert {"state", "trained", "history"} <= {*differing(found[0], found[2])}


def test_updates_are_counted_and_not_the_parts_of_a_batch(job, unbroken, tmp_path):
    output, seen = tmp_path / "run", []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            seen.append((completed_steps(self.model), int(logs["examples"])))

    parts = merge(job, {"optim": {"accumulate_steps": 4}, "output": output})
    kerastune_llm.train(parts, callbacks=[Count()])
    assert [step for step, _ in seen] == [*range(1, 11)]
    # 36 rows, 8 at a time, twice; each update is of all rows of its batch.
    for epoch in (seen[:5], seen[5:]):
        assert sorted(rows for _, rows in epoch) == [4, 8, 8, 8, 8]
    names = ("step", "epoch", "learning_rate")
    of_parts, of_whole = (
        [
            {name: record[name] for name in names if name in record}
            for record in outcome(run)["history"]
        ]
        for run in (output, unbroken)
    )
    assert of_parts == of_whole
    rates = [record["learning_rate"] for record in of_whole if len(record) == 3]
    # Two updates of warmup, then down in a line over the eight that are left.
    assert rates[2:5] == pytest.approx([1e-2, 8.75e-3, 7.5e-3], rel=1e-5)


def test_a_full_disk_ends_the_run_with_its_last_checkpoint(job, unbroken, tmp_path):
    output = tmp_path / "run"
    saved = next(unbroken.glob("checkpoints/*/tensors.safetensors")).stat().st_size
    with contextlib.ExitStack() as at_end:
        limit = no_file_above(saved - 1)
        fill = At(7, lambda: at_end.enter_context(limit))
        with pytest.raises(UserError, match="(?s)cannot be written.*Earlier ones are"):
            kerastune_llm.train({**job, "output": output}, callbacks=[fill])
    steps = sorted(path.name for path in (output / "checkpoints").iterdir())
    assert steps[-1] == "step-00000006"
    assert main(["resume", str(output)]) == 0
    assert not differing(outcome(unbroken), outcome(output))


def test_a_history_that_a_full_disk_broke_off_is_mended(job, unbroken, tmp_path):
    output = tmp_path / "run"
    with contextlib.ExitStack() as at_end:

        def fill() -> None:
            size = (output / "metrics.jsonl").stat().st_size
            at_end.enter_context(no_file_above(size + 10))

        with pytest.raises(OSError, match="File too large"):
            kerastune_llm.train({**job, "output": output}, callbacks=[At(7, fill)])
    assert not (output / "metrics.jsonl").read_text().endswith("\n")
    assert main(["resume", str(output)]) == 0
    assert not differing(outcome(unbroken), outcome(output))


def test_a_run_cut_off_in_an_epoch_ends_as_the_unbroken_one(
    unbroken, cut_off, tmp_path, capsys
):
    run = copied(cut_off, tmp_path)
    assert not (run / "metrics.json").exists()
    assert main(["resume", str(run)]) == 0
    assert "going on from step-00000006, 10 updates in all" in capsys.readouterr().out
    assert not differing(outcome(unbroken), outcome(run))
    # Neither holes nor doubles.
    found = {tag: [step for step, _ in points] for tag, points in curves(run).items()}
    assert found["train/loss"] == [*range(1, 11)]
    assert found["evaluation/loss"] == found["predictions"] == [3, 6, 9, 10]


@pytest.mark.slow
def test_frozen_weights_in_16_bits_are_recognised(job, tmp_path):
    changes = {"runtime": {"precision": "bfloat16"}, "method": {"name": "lora"}}
    values = merge(job, changes)
    kerastune_llm.train({**values, "output": tmp_path / "whole"})
    cut = tmp_path / "cut"
    with pytest.raises(Crash):
        kerastune_llm.train({**values, "output": cut}, callbacks=[At(7, crash)])
    assert main(["resume", str(cut)]) == 0
    assert not differing(outcome(tmp_path / "whole"), outcome(cut))


def test_several_updates_in_an_execution_change_nothing(
    unbroken, cut_off, job, tmp_path
):
    several = {"runtime": {"steps_per_execution": 4}}
    whole = merge(merge(job, several), {"output": tmp_path / "whole"})
    kerastune_llm.train(whole)
    assert not differing(outcome(unbroken), outcome(tmp_path / "whole"))
    run = copied(cut_off, tmp_path)
    assert main(["resume", str(run), "--runtime.steps-per-execution", "4"]) == 0
    assert not differing(outcome(unbroken), outcome(run))


def test_the_checkpoint_before_a_damaged_one_is_used(
    unbroken, cut_off, tmp_path, capsys
):
    run = copied(cut_off, tmp_path)
    newest = sorted((run / "checkpoints").iterdir())[-1]
    (newest / "tensors.safetensors").write_bytes(b"half a")
    assert main(["resume", str(run)]) == 0
    out = capsys.readouterr().out
    assert f"Received: {newest}" in out
    assert "going on from step-00000005" in out
    assert not differing(outcome(unbroken), outcome(run))


def test_no_whole_checkpoint_is_an_error_and_none_a_new_beginning(
    unbroken, cut_off, tmp_path, capsys
):
    run = copied(cut_off, tmp_path)
    for checkpoint in (run / "checkpoints").iterdir():
        (checkpoint / "state.json").unlink()
    assert main(["resume", str(run)]) == 2
    assert "No checkpoint of this run is whole" in capsys.readouterr().err
    shutil.rmtree(run / "checkpoints")
    assert main(["resume", str(run)]) == 0
    assert not differing(outcome(unbroken), outcome(run))


def test_train_resume_begins_and_goes_on(job, unbroken, tmp_path):
    values = {**job, "output": tmp_path / "run"}
    with pytest.raises(Crash):
        kerastune_llm.train(values, callbacks=[At(4, crash)], resume=True)
    kerastune_llm.train(values, resume=True)
    assert not differing(outcome(unbroken), outcome(tmp_path / "run"))
    with pytest.raises(UserError, match="This run is finished"):
        kerastune_llm.train(values, resume=True)


def test_a_signal_saves_and_the_run_goes_on(job, unbroken, tmp_path, capsys):
    output = tmp_path / "run"
    result = kerastune_llm.train(
        {**job, "output": output},
        callbacks=[At(7, lambda: os.kill(os.getpid(), signal.SIGTERM))],
    )
    assert result.interrupted
    assert f"kerastune resume {output}" in capsys.readouterr().out
    assert (output / "checkpoints" / "step-00000007").is_dir()
    assert main(["resume", str(output)]) == 0
    assert not differing(outcome(unbroken), outcome(output))


def test_a_finished_run_is_lengthened(job, tmp_path, capsys):
    constant = {"optim": {"schedule": "constant", "warmup": 0}}
    constant = merge(job, {**constant, "evaluation": {"every": "epoch"}})
    long = merge(constant, {"optim": {"epochs": 3}, "output": tmp_path / "long"})
    kerastune_llm.train(long)
    short = tmp_path / "short"
    kerastune_llm.train(merge(constant, {"optim": {"epochs": 2}, "output": short}))
    assert main(["resume", str(short)]) == 2
    assert "This run is finished" in capsys.readouterr().err
    assert main(["resume", str(short), "--optim.epochs", "3"]) == 0
    out = capsys.readouterr().out
    assert "--optim.epochs: 2, now 3" in out
    assert "the schedule reached over 10 updates and now over 15" in out
    assert not differing(outcome(tmp_path / "long"), outcome(short))
    config = json.loads((short / "config.json").read_text())
    assert config["optim"]["epochs"] == 3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--optim.batch-size 4", "--optim.batch-size cannot change.*Accepted: 8"),
        ("--data.max-train-samples 3", "cannot change.*Accepted: to leave it out"),
        ("--runtime.seed 7", "--runtime.seed cannot change"),
        ("--data.batching pad", "--data.batching cannot change"),
        ("--optim.name sgd --runtime.seed 7", "2 problems"),
        ("--optim.max-steps 5", "Nothing is left to do: 6 updates are done, of 5"),
    ],
)
def test_meaningless_changes_are_refused(cut_off, tmp_path, argv, message, capsys):
    run = copied(cut_off, tmp_path)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert main(["resume", str(run), *argv.split()]) == 2
    assert re.search(message, capsys.readouterr().err, re.DOTALL)
    before.pop(run / "log.txt")
    after = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    after.pop(run / "log.txt")
    assert after == before


def test_other_rows_are_refused(cut_off, tmp_path, job, capsys):
    run = copied(cut_off, tmp_path)
    rows = Path(job["data"]["train"])
    text = rows.read_text()
    try:
        rows.write_text(text.replace("nile", "river"))
        assert main(["resume", str(run)]) == 2
    finally:
        rows.write_text(text)
    assert "The training rows are not those that the run began with" in (
        capsys.readouterr().err
    )


def test_no_run_there(tmp_path, capsys):
    assert main(["resume", str(tmp_path)]) == 2
    assert "no run in this folder" in capsys.readouterr().err
    assert main(["train", "squad", "--resume"]) == 2
    assert "--output DIR" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "full",
        pytest.param("lora", marks=pytest.mark.long),
        pytest.param("accumulation, bucketing", marks=pytest.mark.long),
    ],
)
def test_killed_processes_lose_nothing(name):
    script = Path(__file__).parents[1] / "benchmarks" / "kill_and_resume.py"
    done = subprocess.run(
        [sys.executable, script, "--kills", "2", "--only", name],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
