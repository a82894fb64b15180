"""A short run of a tiny model, and everything about its outcome that must not vary."""

import json
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerastune_llm.models.checkpoint import save_model
from tests.tiny_models import tiny
from tests.tiny_tokenizers import TEXT, fast_tokenizer


def tiny_job(folder: Path, name: str = "bert") -> dict[str, Any]:
    """Values of a run of ten updates on 36 rows, with dropout; `output` is left out."""
    tokenizer = fast_tokenizer(with_types=name != "t5")
    save_model(tiny(name), tokenizer, folder / name)
    rows = folder / "rows.csv"
    words = [word for word in TEXT.split() if word.isalpha()]
    # One to six words, so that batches differ in length.
    texts = [" ".join(words[n % 20 : n % 20 + 1 + n % 6]) for n in range(40)]
    lines = [f"{text},{('one', 'two')[n % 2]}" for n, text in enumerate(texts)]
    rows.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    target = {"label_column": "label"}
    if name == "t5":
        target = {"target_template": "{label}"}
    return {
        "task": {"name": "custom", "input_template": "{text}", **target},
        "model": str(folder / name),
        "data": {"train": str(rows)},
        "optim": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "warmup": 0.2},
        "runtime": {"checkpoint_every": 2},
        "evaluation": {"every": 3},
    }


def outcome(run: Path) -> dict[str, Any]:
    """Weights, optimizer, history, metrics, predictions and curves; no timings."""
    last = sorted(run.glob("checkpoints/step-*"))[-1]
    trained = sorted(run.glob("model/*.safetensors")) + sorted(
        run.glob("adapter/*.safetensors")
    )
    history = (run / "metrics.jsonl").read_text().splitlines()
    return {
        "state": {k: v.tobytes() for k, v in load_file(_tensors(last)).items()},
        "trained": {k: v.tobytes() for f in trained for k, v in load_file(f).items()},
        "history": [_without_timings(json.loads(line)) for line in history],
        "metrics": json.loads((run / "metrics.json").read_text()),
        "predictions": (run / "predictions/validation.jsonl").read_text(),
        "curves": curves(run),
    }


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """TensorBoard's curves as points of step and value."""
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    return _without_timings(
        {
            tag: [
                (event.step, event.tensor_proto.SerializeToString())
                for event in events.Tensors(tag)
            ]
            for tag in events.Tags()["tensors"]
        }
    )


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Which parts of two outcomes are not the same."""
    return [name for name in one if one[name] != other[name]]


def _tensors(checkpoint: Path) -> Path:
    return checkpoint / "tensors.safetensors"


def _without_timings(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if not k.endswith("_per_second")}
