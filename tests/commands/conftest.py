"""What the tests of several verbs share."""

import json
from pathlib import Path

import pytest

from kerastune_llm.commands.train import train
from tests.commands.runs import tiny_job
from tests.models.test_surgery import FLAN_T5_BASE


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> dict:
    """Values of a tiny run; `output` is left out."""
    return tiny_job(tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="module")
def unbroken(job, tmp_path_factory) -> Path:
    """That run, from its beginning to its end in one go."""
    return train({**job, "output": tmp_path_factory.mktemp("unbroken") / "run"}).run


@pytest.fixture(scope="module")
def flan_t5_base(tmp_path_factory) -> Path:
    """A folder with flan-t5-base's configuration alone."""
    folder = tmp_path_factory.mktemp("flan-t5-base")
    config = {**FLAN_T5_BASE, "model_type": "t5", "is_encoder_decoder": True}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


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
