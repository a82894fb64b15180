"""Rows shared out among replicas: each is computed once, and in its place."""

import subprocess
import sys
from pathlib import Path

import pytest

from kerastune_llm.backend import tf
from kerastune_llm.models.replicas import where_weights_are


def test_elsewhere_than_on_a_tpu_nothing_is_shared_out():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    assert where_weights_are(strategy, abs) is abs


@pytest.mark.slow
def test_two_replicas_give_what_one_gives():
    script = Path(__file__).with_name("shared_rows.py")
    result = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr[-3000:]
