"""A batch in as few parts as fit, and a run that is out of memory."""

import json
import os
import subprocess
import sys

import pytest

from kerastune_llm.backend import tf
from kerastune_llm.commands import auto_batch
from kerastune_llm.commands.auto_batch import (
    out_of_memory_explained,
    with_fitting_parts,
)
from kerastune_llm.commands.job import Job, assemble, with_bundled_settings
from kerastune_llm.commands.memory_limit import MemoryGuard
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from kerastune_llm.rundir import RunDir
from kerastune_llm.training.batch_fit import Fit
from kerastune_llm.training.memory import GIB

ONE = tf.distribute.get_strategy()


def job(**values: object) -> Job:
    config = RunConfig.parse({"task": "squad", **values})
    return assemble(with_bundled_settings(config))


@pytest.fixture
def fits(monkeypatch):
    """What is found to fit: a stand-in for the process that measures."""
    found: list[Fit | None] = []
    monkeypatch.setattr(auto_batch, "try_parts", lambda config, room: found[-1])
    return found


def test_the_batch_stays_and_its_parts_are_as_few_as_fit(fits, caplog):
    fits.append(Fit(11, 3 * GIB))
    asked = job(optim={"batch_size": "auto"}, runtime={"memory_limit": 4})
    with caplog.at_level("INFO", "kerastune_llm"):
        optim = with_fitting_parts(asked, ONE).config.optim
    # The bundled starter is trained with batches of 32.
    assert (optim.batch_size, optim.accumulate_steps) == (32, 3)
    assert "batch of 32 in 3 parts, 11 rows at a time: 3.00 GiB" in caplog.text
    given = job(optim={"batch_size": 22, "accumulate_steps": "auto"})
    assert with_fitting_parts(given, ONE).config.optim.accumulate_steps == 2


def test_parts_that_are_given_stay(fits):
    given = job(optim={"batch_size": 8, "accumulate_steps": 4})
    assert with_fitting_parts(given, ONE) is given


def test_not_even_one_row(fits):
    fits.append(None)
    asked = job(optim={"batch_size": "auto"}, runtime={"memory_limit": 0.5})
    with pytest.raises(UserError, match="one row at a time fits into 0.50 GiB"):
        with_fitting_parts(asked, ONE)


@pytest.mark.parametrize(
    "error", [tf.errors.ResourceExhaustedError(None, None, "OOM at x"), MemoryError()]
)
@pytest.mark.parametrize(
    ("fit", "mend"),
    [
        (Fit(4, GIB), r"4 at a time \(1.00 GiB\): kerastune resume .* 8$"),
        # What failed seemed to fit: then half of it.
        (Fit(32, GIB), "16 at a time: kerastune resume .* --optim.accumulate-steps 2$"),
        (None, "--runtime.gradient-checkpointing"),
    ],
)
def test_out_of_memory_names_what_fits(fits, tmp_path, error, fit, mend):
    fits.append(fit)
    with (
        pytest.raises(UserError, match="Out of memory with 32 rows") as raised,
        out_of_memory_explained(RunDir(tmp_path / "run"), job(), ONE),
    ):
        raise error
    raised.match(mend)


def test_the_guard_ends_a_run_above_its_limit():
    MemoryGuard(100 * GIB).on_train_batch_end(0)
    with pytest.raises(MemoryError, match="of the 0.00 GiB of --runtime.memory-limit"):
        MemoryGuard(1024).on_train_batch_end(0)


@pytest.mark.long
def test_a_limit_is_kept_and_a_batch_above_it_ends_with_what_fits(tmp_path):
    """Real processes and real memory: the same limit for both."""
    command = [sys.executable, "-m", "kerastune_llm.cli", "train", "squad"]
    command += ["--optim.max-steps", "2", "--data.max-train-samples", "300"]
    # So many that they take more than the libraries do.
    command += ["--optim.batch-size", "256", "--data.max-validation-samples", "8"]

    def train(*flags: str, run: str) -> subprocess.CompletedProcess:
        output = ["--output", str(tmp_path / run)]
        return subprocess.run(
            [*command, *output, *flags],
            capture_output=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    whole = train(run="whole")
    assert whole.returncode == 0, whole.stderr
    facts = json.loads((tmp_path / "whole/environment.json").read_text())["trained"]
    peak = facts["peak_memory"]
    limit = ["--runtime.memory-limit", f"{0.9 * peak / GIB:.3f}"]
    above = train(*limit, run="above")
    assert above.returncode == 2, above.stdout + above.stderr
    assert "Out of memory with 256 rows at a time" in above.stderr
    assert "--optim.accumulate-steps" in above.stderr
    fitted = train(*limit, "--optim.accumulate-steps", "auto", run="fitted")
    assert fitted.returncode == 0, fitted.stdout + fitted.stderr
    optim = json.loads((tmp_path / "fitted/config.json").read_text())["optim"]
    assert optim["batch_size"] == 256
    assert optim["accumulate_steps"] > 1
