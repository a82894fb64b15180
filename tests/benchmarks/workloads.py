"""What is measured against PyTorch: plain values that both sides read.

This file imports nothing but the standard library, for it runs in both environments.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

SETTINGS = {
    "cola": {"max_input_tokens": 128, "max_target_tokens": 8},
    "squad": {"max_input_tokens": 384, "max_target_tokens": 32},
}


@dataclass(frozen=True)
class Workload:
    """One piece of work, the same for both sides.

    Args:
        name: Such as `"W1"`.
        title: What it is, for the table.
        task: `"cola"` or `"squad"`.
        method: `"full"`, `"lora"` or `"head"`.
        goal: Least ratio ours / PyTorch that is aimed at.
        measure: What the ratio is of: examples a second in steady state, the whole
            process, or generated answers a second.
        options: Hyper-parameters of the method, under our names.
        epochs: Passes over the rows.
        batch_size: Rows in one optimizer update.
        learning_rate: Peak of the linear schedule.
        train_rows: Rows trained on; 0 for all.
        validation_rows: Rows evaluated after every epoch; 0 for all.
        rival: PyTorch's Trainer, or the TensorFlow recipe of the guides.
        precision: Under our name; `"mixed_bfloat16"` is the Trainer's `bf16`.
    """

    name: str
    title: str
    task: Literal["cola", "squad"]
    method: Literal["full", "lora", "head"]
    goal: float
    measure: Literal["steady", "whole", "answers"] = "steady"
    options: dict[str, object] = field(default_factory=dict)
    epochs: int = 1
    batch_size: int = 32
    learning_rate: float = 5e-5
    train_rows: int = 0
    validation_rows: int = 0
    rival: Literal["pytorch", "guide"] = "pytorch"
    precision: Literal["float32", "mixed_bfloat16"] = "float32"

    @property
    def runtime(self) -> dict[str, object]:
        """Flags of our own: a trunk that is frozen for all epochs is computed once."""
        kept = {"trunk_cache": True} if self.method == "head" else {}
        return {"precision": self.precision, **kept}

    @property
    def product(self) -> str:
        """The type of the numbers that matrices are multiplied in."""
        return self.precision.removeprefix("mixed_")

    @property
    def max_input_tokens(self) -> int:
        """Length inputs are cut at."""
        return SETTINGS[self.task]["max_input_tokens"]

    @property
    def max_target_tokens(self) -> int:
        """Length targets are cut at, and answers are generated to."""
        return SETTINGS[self.task]["max_target_tokens"]


_COLA = {"task": "cola", "batch_size": 32}
_SQUAD = {
    "task": "squad",
    "batch_size": 8,
    "train_rows": 512,
    "validation_rows": 64,
}
_LORA_QV = {"rank": 8, "alpha": 8}

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("W1", "CoLA, minilm, full", method="full", goal=2.0, **_COLA),
        Workload(
            "W2",
            "CoLA, minilm, LoRA r 8",
            method="lora",
            goal=2.0,
            options=_LORA_QV,
            learning_rate=1e-3,
            **_COLA,
        ),
        Workload(
            "W3",
            "CoLA, minilm, head, 3 epochs",
            method="head",
            goal=5.0,
            measure="whole",
            epochs=3,
            learning_rate=1e-3,
            **_COLA,
        ),
        Workload(
            "W3-10",
            "CoLA, minilm, head, 10 epochs",
            method="head",
            goal=15.0,
            measure="whole",
            epochs=10,
            learning_rate=1e-3,
            **_COLA,
        ),
        Workload("W4", "SQuAD, flan-t5-small, full", method="full", goal=2.0, **_SQUAD),
        Workload(
            "W5",
            "SQuAD, flan-t5-small, LoRA r 16",
            method="lora",
            goal=2.0,
            options={"rank": 16, "alpha": 16},
            learning_rate=1e-3,
            **_SQUAD,
        ),
        Workload(
            "W6",
            "SQuAD, flan-t5-small, head, 3 epochs",
            method="head",
            goal=6.0,
            measure="whole",
            epochs=3,
            learning_rate=1e-3,
            **_SQUAD,
        ),
        Workload(
            "W6-10",
            "SQuAD, flan-t5-small, head, 10 epochs",
            method="head",
            goal=18.0,
            measure="whole",
            epochs=10,
            learning_rate=1e-3,
            **_SQUAD,
        ),
        Workload(
            "W7",
            "SQuAD, 200 greedy answers of 16 tokens",
            method="full",
            goal=3.0,
            measure="answers",
            task="squad",
            batch_size=16,
            validation_rows=200,
        ),
        Workload(
            "W8",
            "SQuAD, head, against the guides' recipe",
            method="head",
            measure="whole",
            goal=5.0,
            rival="guide",
            learning_rate=1e-3,
            **_SQUAD,
        ),
    )
}


@dataclass(frozen=True)
class Spec:
    """A workload with its files, as one side is given it.

    Args:
        workload: What to do.
        model: Folder of the checkpoint, in PyTorch's layout.
        train: jsonl of `input` and `target` (text, or a class number).
        validation: The same, to evaluate on.
        output: Folder to save the model in; must not exist.
        seed: Of initial head weights, dropout and order.
    """

    workload: Workload
    model: Path
    train: Path
    validation: Path
    output: Path
    seed: int

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), default=str, indent=2))

    @classmethod
    def read(cls, path: Path) -> "Spec":
        """Read what `write` wrote."""
        values = json.loads(path.read_text())
        workload = Workload(**values.pop("workload"))
        seed = values.pop("seed")
        return cls(workload, *map(Path, values.values()), seed=seed)


def read_rows(path: Path) -> list[dict]:
    """The rows of a jsonl file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def exact_match(tokenizer: object, answers: object, labels: object) -> float:
    """The share of rows whose generated text is the target's.

    Args:
        tokenizer: Of either side.
        answers: Generated ids, an array `[rows, length]`; -100 is padding.
        labels: The targets' ids, likewise.
    """
    pad = tokenizer.pad_token_id
    texts, targets = (
        tokenizer.batch_decode(
            [[pad if token == -100 else token for token in row] for row in ids],
            skip_special_tokens=True,
        )
        for ids in (answers.tolist(), labels.tolist())
    )
    pairs = list(zip(texts, targets, strict=True))
    return sum(text == target for text, target in pairs) / len(pairs)
