"""A mixture from the command line: train, evaluate, files of its tasks, refusals."""

import json

import pytest

import kerastune_llm
from kerastune_llm.cli import main

SHORT = (
    "--data.max-train-samples 20 --data.max-validation-samples 4 "
    "--data.max-input-tokens 64 --optim.max-steps 2 --optim.batch-size 8"
)


def train(output, flags):
    command = f"train mixture --output {output} {SHORT} {flags}"
    return main(command.split())


def test_a_mixture_trains_and_evaluates(tmp_path, capsys):
    output = tmp_path / "run"
    rates = "squad=2,cola=1,stsb=1"
    assert (
        train(output, f"--mixture.tasks squad,cola,stsb --mixture.rates {rates}") == 0
    )
    shown = capsys.readouterr().out
    assert "squad 50.0% of 20 rows, cola 25.0% of 20 rows" in shown
    metrics = json.loads((output / "metrics.json").read_text())
    assert {"mean", "squad/f1", "cola/accuracy", "stsb/pearson", "loss"} < set(metrics)
    assert kerastune_llm.evaluate(output) == metrics
    lines = (output / "predictions/validation.jsonl").read_text().splitlines()
    ids = [json.loads(line)["id"].partition("/")[0] for line in lines]
    assert ids == ["squad"] * 4 + ["cola"] * 4 + ["stsb"] * 4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--mixture.tasks squad,colla", "Did you mean cola"),
        ("", "two or more different tasks"),
        ("--mixture.tasks squad,cola --mixture.rates squad=0,cola=0", "above it"),
        ("--mixture.tasks squad,cola --mixture.rates squad=1", "weigh every task"),
        (
            "--mixture.tasks squad,cola --mixture.train squad=absent.json",
            "does not exist",
        ),
        (
            "--mixture.tasks squad,cola --data.train rows.json",
            "no train file of the task squad",
        ),
        ("--mixture.tasks squad,cola --model minilm", "does not write any"),
    ],
)
def test_a_mixture_that_is_wrong(tmp_path, capsys, flags, message):
    assert train(tmp_path / "run", flags) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
