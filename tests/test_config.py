import json
from pathlib import Path

import pytest

from kerastune_llm.config import RunConfig, flags, merge, read_config_file
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.remote_errors import RemoteRefused
from kerastune_llm.rundir import RunDir, write_json


def test_defaults_and_strings_from_the_command_line():
    config = RunConfig.parse(
        {
            "optim": {"learning_rate": "3e-4", "batch_size": "32"},
            "task": {"name": "cola", "metrics": "accuracy, matthews_correlation"},
        }
    )
    assert config.optim.learning_rate == 3e-4
    assert config.optim.batch_size == 32
    assert config.task.metrics == ("accuracy", "matthews_correlation")
    assert config.method.name == "full"


def test_every_problem_is_reported_at_once():
    with pytest.raises(UserErrors) as caught:
        RunConfig.parse(
            {
                "task": {"name": "sqad", "metrics": "exact_mach"},
                "method": "haed",
                "optim": {"name": "adamv", "learning_rate": "-1", "batchsize": 3},
            }
        )
    text = str(caught.value)
    assert "Did you mean squad" in text
    assert "Did you mean head?" in text
    assert "Did you mean adam" in text
    assert "--task.metrics: Unknown metric. Did you mean exact_match" in text
    assert "--optim.learning-rate should be greater than 0. Received: -1" in text
    assert "Unknown flag --optim.batchsize" in text
    assert "--optim.batch-size" in text
    assert len(caught.value.problems) == 6


@pytest.mark.parametrize(
    ("flag", "value", "accepted"),
    [
        ("batch_size", "autos", "should be a valid integer or 'auto'"),
        ("accumulate_steps", 0, "should be greater than 0 or 'auto'"),
    ],
)
def test_a_value_that_may_be_of_two_kinds_is_one_problem(flag, value, accepted):
    with pytest.raises(UserErrors) as caught:
        RunConfig.parse({"task": "cola", "optim": {flag: value}})
    shown = f"--optim.{flag.replace('_', '-')} {accepted}. Received: {value}"
    assert caught.value.problems == (shown,)


@pytest.mark.parametrize("place", ["gs:/bucket/x", "gs:bucket/x", "s3:/bucket/x"])
def test_an_address_that_lacks_a_slash_is_no_folder(place):
    values = {"task": "cola", "output": place, "data": {"train": place}}
    with pytest.raises(UserErrors) as caught:
        RunConfig.parse(values)
    said = f"two slashes. Received: {place} To mend it: {place[:2]}://bucket/x"
    shown = [" ".join(problem.split()) for problem in caught.value.problems]
    assert [problem.endswith(said) for problem in shown] == [True, True]
    with pytest.raises(RemoteRefused, match="two slashes"):
        RunDir(Path(place))


@pytest.mark.parametrize("columns", ["q", "question=", "=q"])
def test_columns_must_be_pairs(columns):
    with pytest.raises(UserError, match="--task.columns .*pairs such as"):
        RunConfig.parse({"task": {"name": "squad", "columns": columns}})


def test_written_values_are_a_valid_config(tmp_path):
    config = RunConfig.parse(
        {
            "task": {"name": "squad", "columns": "question=q"},
            "method": {"name": "last_n", "blocks": 3},
            "data": {"train": "a.jsonl"},
        }
    )
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_values()))
    assert RunConfig.parse(read_config_file(path)) == config


def test_another_method_drops_the_options_of_the_first():
    values = {"task": "squad", "method": {"name": "last_n", "blocks": 3}}
    assert merge(values, {"method": {"name": "head"}})["method"] == {"name": "head"}
    same = merge(values, {"method": {"blocks": 4}})
    assert same["method"] == {"name": "last_n", "blocks": 4}


def test_config_file_that_is_no_mapping(tmp_path):
    path = tmp_path / "list.yaml"
    path.write_text("- 1")
    with pytest.raises(UserError, match="must hold a mapping"):
        read_config_file(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_config_file(tmp_path / "absent.json")


def test_flags_are_the_dotted_paths():
    assert flags()["--data.max-train-samples"] == ("data", "max_train_samples")
    assert flags()["--method"] == ("method", "name")


@pytest.mark.parametrize("place", ["gs://bucket/a b/", "memory://x", "hf::gs://b/c"])
def test_an_address_stays_the_text_it_is(place, tmp_path):
    values = {"task": "cola", "output": place, "data": {"train": place}}
    config = RunConfig.parse(values)
    assert (config.output, config.data.train) == (place, place)
    write_json(tmp_path / "config.json", config.to_values())
    again = RunConfig.parse(read_config_file(tmp_path / "config.json"))
    assert again == config
    for path in ("runs/a", "/runs//a"):
        assert config.updated({"output": path}).output == Path(path)
    with pytest.raises(UserError, match="--output"):
        config.updated({"output": 3})
