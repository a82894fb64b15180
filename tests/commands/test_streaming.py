"""Runs on a file that is read as they go: cut off and taken up, and what is refused."""

import pytest

import kerastune_llm
from kerastune_llm.backend import keras
from kerastune_llm.cli import main
from kerastune_llm.config import merge
from kerastune_llm.errors import UserError
from kerastune_llm.training.callbacks import completed_steps
from tests.commands.runs import differing, outcome, tiny_job


class Crash(RuntimeError):
    pass


class CrashAt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if completed_steps(self.model) == 7:
            raise Crash


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> dict:
    """Ten updates on forty rows, in two epochs of five."""
    values = tiny_job(tmp_path_factory.mktemp("job"))
    rows = values["data"]["train"]
    data = {"streaming": True, "validation": rows, "shuffle_buffer": 16}
    return merge(values, {"data": data})


def test_a_streamed_run_cut_off_ends_as_the_unbroken_one(job, tmp_path, capsys):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    kerastune_llm.train({**job, "output": whole})
    out = capsys.readouterr().out
    assert "train: 40 rows, streamed from" in out and "2 labels found" in out
    with pytest.raises(Crash):
        kerastune_llm.train({**job, "output": cut}, callbacks=[CrashAt()])
    assert main(["resume", str(cut)]) == 0
    assert "going on from step-00000006" in capsys.readouterr().out
    assert not differing(outcome(whole), outcome(cut))


def refused(job, **changes) -> str:
    with pytest.raises(UserError) as caught:
        kerastune_llm.train(merge(job, changes))
    return str(caught.value)


def test_what_needs_all_rows_is_refused(job, tmp_path):
    data = {"augment": "swap", "max_train_samples": 9}
    text = refused(job, data=data, output=tmp_path / "run")
    assert "2 problems" in text
    assert "cannot make rows out of others" in text and "--data.augment swap" in text
    assert "cannot choose among rows" in text and "--optim.max-steps N" in text
    text = refused(job, runtime={"trunk_cache": True}, output=tmp_path / "run")
    assert "To mend it: --no-runtime.trunk-cache" in text
    text = refused(job, data={"source": "sample"}, output=tmp_path / "run")
    assert "reads one training file" in text and "--data.train FILE" in text
    assert not (tmp_path / "run" / "config.json").exists()
