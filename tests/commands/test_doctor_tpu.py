"""`kerastune doctor --tpu`: a configuration's steps are compiled, misfits are named."""

import json

import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.cli import main
from kerastune_llm.commands.tpu_settings import (
    for_tpu,
    tpu_misfits,
    with_settings,
)
from kerastune_llm.config import RunConfig
from tests.commands.runs import tiny_job


def examine(job: dict, capsys, *flags: str) -> tuple[int, str]:
    """The exit code, and what is said of the TPU."""
    config = {**job, "output": "unused"}
    folder = job["model"].rpartition("/")[0]
    file = f"{folder}/config.json"
    with open(file, "w", encoding="utf-8") as out:
        json.dump(config, out)
    code = main(["doctor", "--tpu", "--config", file, *flags])
    return code, capsys.readouterr().out.partition("on a TPU")[2]


@pytest.mark.parametrize(
    ("name", "steps"),
    [("bert", ("train", "evaluate", "logits")), ("t5", ("train", "generate"))],
)
def test_the_steps_of_a_sound_configuration_compile(name, steps, tmp_path, capsys):
    code, out = examine(tiny_job(tmp_path, name), capsys, "--method", "lora")
    assert code == 0
    for step in steps:
        line = next(x for x in out.splitlines() if f"ok      {step}: " in x)
        assert line.endswith("operations, compiled whole")
    assert "padded to one length" in out
    assert keras.mixed_precision.global_policy().name == "float32"


def test_what_does_not_run_is_named_with_its_mend(tmp_path, capsys):
    flags = ["--data.batching", "bucket", "--optim.batch-size", "12"]
    flags += ["--runtime.precision", "mixed_float16", "--runtime.jit"]
    flags += ["--method", "gradual", "--runtime.gradient-checkpointing"]
    flags += ["--optim.accumulate-steps", "auto"]
    code, out = examine(tiny_job(tmp_path), capsys, *flags)
    assert code == 2
    for mend in (
        "--data.batching fixed",
        "--optim.batch-size 16",
        "--runtime.precision mixed_bfloat16",
        "--no-runtime.jit",
        "--no-runtime.gradient-checkpointing",
        "--optim.accumulate-steps 1",
        "--method.every",
        "--runtime.steps-per-execution",
    ):
        assert mend in out


def test_without_a_configuration_there_is_nothing_to_examine(capsys):
    assert main(["doctor", "--tpu"]) == 2
    assert "Which configuration is to run on a TPU?" in capsys.readouterr().err


def test_what_was_not_given_becomes_what_a_tpu_needs():
    config = RunConfig.parse({"task": "cola"})
    changed = for_tpu(config)
    assert (changed.data.batching, changed.runtime.precision) == (
        "fixed",
        "mixed_bfloat16",
    )
    # Settings of a bundled model still go where none were given.
    assert "batch_size" not in changed.optim.model_fields_set
    assert not list(tpu_misfits(changed))
    elsewhere = with_settings(config, tf.distribute.get_strategy())
    assert elsewhere.data == config.data and elsewhere.runtime == config.runtime


def test_what_was_given_stays():
    given = {"data": {"batching": "pack"}, "runtime": {"precision": "float32"}}
    changed = for_tpu(RunConfig.parse({"task": "squad", **given}))
    assert changed.data.batching == "pack"
    assert changed.runtime.precision == "float32"
    [misfit] = tpu_misfits(changed)
    assert "--runtime.strategy one" in str(misfit)
