"""TensorFlow's own cache of what XLA compiled serves the next run of this package."""

import json
import os
import subprocess
import sys

import pytest

from tests.commands.runs import outcome, tiny_job

# Two processes that compile every shape: a minute.
pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_a_second_run_compiles_nothing_and_ends_the_same(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    config = tmp_path / "config.json"
    config.write_text(json.dumps(tiny_job(tmp_path)))
    flags = f"--tf_xla_persistent_cache_directory={cache}"
    states = []
    for name in ("first", "second"):
        command = ["train", "--config", config, "--runtime.jit", "--output"]
        subprocess.run(
            [sys.executable, "-m", "kerastune_llm.cli", *command, tmp_path / name],
            env={**os.environ, "TF_XLA_FLAGS": flags},
            check=True,
            capture_output=True,
        )
        states.append({path.name: path.stat().st_mtime_ns for path in cache.iterdir()})
    assert states[0] and states[0] == states[1]
    assert outcome(tmp_path / "first") == outcome(tmp_path / "second")
