"""What the tests of several verbs share."""

from pathlib import Path

import pytest

from kerastune_llm.commands.train import train
from tests.commands.runs import tiny_job


@pytest.fixture(scope="session")
def classifier(tmp_path_factory) -> Path:
    """A short run of a tiny encoder on a csv of 40 rows, of which 4 are held out.

    It is read by many tests and changed by none; the rows are `rows.csv` beside it.
    """
    folder = tmp_path_factory.mktemp("classifier")
    job = tiny_job(folder)
    job["optim"] |= {"max_steps": 3}
    job["runtime"] = {"checkpoint_every": "never"}
    job["evaluation"] = {}
    return train({**job, "output": folder / "run"}).run
