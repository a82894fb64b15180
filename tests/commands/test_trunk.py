"""A run whose frozen trunk is computed once."""

import json

import pytest

from kerastune_llm.commands.evaluate import evaluate
from kerastune_llm.commands.train import train
from kerastune_llm.errors import UserError

SMALL = {"max_train_samples": 24, "max_validation_samples": 8}


def run_head(folder, *, trunk_cache: bool | None):
    return train(
        {
            "task": "cola",
            "model": "minilm",
            "method": "head",
            "data": SMALL,
            "optim": {"epochs": 2, "learning_rate": 0.01},
            "runtime": {"trunk_cache": trunk_cache},
            "output": str(folder),
        }
    )


def test_the_log_says_what_is_kept_and_evaluate_agrees_with_the_run(tmp_path):
    result = run_head(tmp_path / "run", trunk_cache=True)
    log = (result.run / "log.txt").read_text()
    assert "dropout of 0.1 is off" in log
    assert log.count("pooler_output of 24 rows computed once") == 1
    assert log.count("pooler_output of 8 rows computed once") == 1
    # The whole model scores as the run said, which used the kept outputs alone.
    again = evaluate(result.run, output=tmp_path / "again")
    said = json.loads((result.run / "metrics.json").read_text())
    assert again == pytest.approx(said, rel=1e-5)


def test_a_trunk_with_dropout_is_kept_only_when_asked_for(tmp_path):
    log = (run_head(tmp_path / "run", trunk_cache=None).run / "log.txt").read_text()
    assert "--runtime.trunk-cache would compute it once" in log
    assert "computed once" not in log


def test_without_a_frozen_trunk_it_is_refused(tmp_path):
    with pytest.raises(UserError, match="no frozen trunk.*full trains"):
        train(
            {
                "task": "cola",
                "model": "minilm",
                "data": SMALL,
                "runtime": {"trunk_cache": True},
                "output": str(tmp_path / "run"),
            }
        )
