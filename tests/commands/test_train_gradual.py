"""Whole runs of `--method gradual` on the bundled starter."""

import json

import pytest
from safetensors.numpy import load_file

from kerastune_llm.cli import main
from kerastune_llm.models.sources import STARTER_FOLDER


@pytest.mark.long
@pytest.mark.parametrize("task", ["cola", "squad"])
def test_a_run_thaws_in_stages_and_counts_every_update(task, tmp_path):
    output = tmp_path / "run"
    code = main(
        f"train {task} --method gradual --method.every 2 --optim.max-steps 6 "
        f"--optim.batch-size 4 --data.max-train-samples 40 "
        f"--data.max-validation-samples 4 --output {output}".split()
    )
    assert code == 0
    log = (output / "log.txt").read_text()
    # The starter is a tied T5 of three blocks: three stages.
    assert "gradual: 3 stages of 2 updates" in log
    assert [f"from update {n} on stage" in log for n in (1, 3, 5)] == [True] * 3
    assert "learning rate 0.001: the bundled starter's" in log
    lines = (output / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["step"] for r in records if "loss" in r] == [1, 2, 3, 4, 5, 6]
    before = load_file(STARTER_FOLDER / "model.safetensors")
    after = load_file(output / "model" / "model.safetensors")
    moved = {name for name in before if (before[name] != after[name]).any()}
    assert moved == set(before)


def test_what_will_train_is_not_kept_in_16_bits(tmp_path, capsys):
    flags = "--method gradual --runtime.precision bfloat16 --data.max-train-samples 4"
    assert main(["train", "cola", *flags.split(), "--output", str(tmp_path / "r")]) == 2
    error = capsys.readouterr().err
    assert "What gradual freezes trains later" in error
    assert "--runtime.precision mixed_bfloat16" in error
