"""The folder of a study, and what it refuses."""

import json

import pytest

from kerastune_llm.commands.child_process import Outcome
from kerastune_llm.commands.trials import Study, Trial, check_study, differences
from kerastune_llm.errors import UserError

VALUES = {"task": {"name": "cola"}, "optim": {"max_steps": 60}}


def trial(values=None, name="lora-42") -> Trial:
    return Trial(name, "lora", "lora, seed 42", "accuracy", values or VALUES)


@pytest.fixture
def study(tmp_path) -> Study:
    """A study with one unfinished run."""
    made = Study(tmp_path)
    made.begin(trial())
    made.run(trial()).path.mkdir(parents=True)
    made.run(trial()).config.write_text("{}")
    return made


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (VALUES, []),
        (
            {**VALUES, "optim": {"max_steps": 100, "epochs": 2}},
            [
                "--optim.epochs not given then, 2 now",
                "--optim.max-steps 60 then, 100 now",
            ],
        ),
        ({**VALUES, "task": {"name": "squad"}}, ["TASK cola then, squad now"]),
        (
            {**VALUES, "method": {"name": "lora", "rank": "4"}},
            [
                "--method not given then, lora now",
                "--method.rank not given then, 4 now",
            ],
        ),
        ({**VALUES, "model": "t5"}, ["--model not given then, t5 now"]),
    ],
)
def test_differences_are_named_by_flag(now, expected):
    assert differences(VALUES, now) == expected


def test_an_equal_configuration_goes_on(study):
    check_study(study, [trial()])


def test_another_configuration_is_refused_with_the_difference(study):
    other = trial({**VALUES, "optim": {"max_steps": 100}})
    with pytest.raises(UserError, match="--optim.max-steps 60 then, 100 now"):
        check_study(study, [other])


def test_a_run_of_somebody_else_is_refused(study):
    study.config(trial()).unlink()
    with pytest.raises(UserError, match="not of this study"):
        check_study(study, [trial()])


def test_two_runs_of_one_name_are_refused(tmp_path):
    with pytest.raises(UserError, match="same folder"):
        check_study(Study(tmp_path), [trial(), trial({"task": {"name": "squad"}})])


def test_what_was_refused_before_it_began_may_change(tmp_path):
    study = Study(tmp_path)
    study.begin(trial())
    check_study(study, [trial({**VALUES, "optim": {"max_steps": 100}})])


def test_beginning_again_removes_what_an_unfinished_run_left(study):
    (study.run(trial()).path / "metrics.jsonl").write_text("{}\n")
    study.begin(trial())
    assert not study.run(trial()).path.exists()
    assert json.loads(study.config(trial()).read_text()) == VALUES


def test_a_run_with_a_checkpoint_is_gone_on_with(study):
    assert not study.can_resume(trial())
    (study.run(trial()).checkpoint(3)).mkdir(parents=True)
    assert study.can_resume(trial())
    study.run(trial()).metrics.write_text("{}")
    assert not study.can_resume(trial())


def test_the_measures_of_a_resumed_run_are_put_together(study):
    study.add_measures(trial(), Outcome(130, 10.0, 3_000, interrupted=True))
    study.add_measures(trial(), Outcome(0, 5.0, 2_000, interrupted=False))
    assert study.measured(trial()) == {"seconds": 15.0, "peak_memory": 3_000}
    study.begin(trial())
    assert study.measured(trial()) == {}
