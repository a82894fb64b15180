"""Intervals and plots of a finished run."""

import json

from kerastune_llm.cli import main


def test_evaluate_gives_intervals_on_demand(tmp_path):
    output = tmp_path / "run"
    command = (
        f"train cola --output {output} --optim.max-steps 2 --optim.batch-size 8 "
        "--data.max-train-samples 32 --data.max-validation-samples 24"
    )
    assert main(command.split()) == 0
    own = json.loads((output / "metrics.json").read_text())
    assert (output / "plots/confusion.png").read_bytes().startswith(b"\x89PNG")
    scored = tmp_path / "scored"
    flags = ["--evaluation.confidence", "--output", str(scored)]
    assert main(["evaluate", str(output), *flags]) == 0
    found = json.loads((scored / "metrics.json").read_text())
    assert {name: found[name] for name in own} == own
    assert found["accuracy_low"] <= found["accuracy"] <= found["accuracy_high"]
    assert set(found) - set(own) == {
        f"{name}_{end}" for name in set(own) - {"loss"} for end in ("low", "high")
    }
