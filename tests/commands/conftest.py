"""What the tests of several verbs share."""

from pathlib import Path

import pytest

from kerastune_llm.commands.train import train
from tests.commands.runs import tiny_job


@pytest.fixture(scope="session")
def classifier(tmp_path_factory) -> Path:
    """A short run of a tiny encoder on a csv of 40 rows, validated on 4 others.

    Two of those 4 are training rows, too. It is read by many tests, changed by none.
    """
    folder = tmp_path_factory.mktemp("classifier")
    job = tiny_job(folder)
    twice = (folder / "rows.csv").read_text().split("\n")[1:3]
    rows = ["text,label", *twice, "a cola question,one", "dogs bark : ?,two"]
    (folder / "dev.csv").write_text("\n".join(rows) + "\n")
    job["data"]["validation"] = str(folder / "dev.csv")
    job["optim"] |= {"max_steps": 3}
    job["runtime"] = {"checkpoint_every": "never"}
    job["evaluation"] = {}
    return train({**job, "output": folder / "run"}).run
