"""One workload done by this package: what `kerastune train` does, step times noted.

.venv/bin/python tests/benchmarks/side_tensorflow.py SPEC.json RESULT.json
"""

import json
import sys
import time
from pathlib import Path

BEGAN = time.time()

from workloads import Spec, Workload, read_rows  # noqa: E402

from kerastune_llm.cli import collect_less_often  # noqa: E402

collect_less_often()

from kerastune_llm import train  # noqa: E402
from kerastune_llm.backend import keras  # noqa: E402
from kerastune_llm.training.throughput import matrix_flops  # noqa: E402


class FirstStep(keras.callbacks.Callback):
    """When the first update was done."""

    def __init__(self) -> None:
        super().__init__()
        self.when: float | None = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.when = self.when or time.time()

    def next_due(self, step: int) -> int | None:
        """After the first update, and no other."""
        return None if step else 1


def configuration(spec: Spec) -> dict:
    workload = spec.workload
    text = {
        "name": "custom",
        "kind": "seq2seq",
        "input_template": "{input}",
        "target_template": "{target}",
        "metrics": "exact_match,token_f1",
    }
    label = {
        "name": "custom",
        "kind": "classification",
        "input_template": "{input}",
        "label_column": "target",
        "metrics": "matthews_correlation",
    }
    return {
        "task": label if workload.task == "cola" else text,
        "model": str(spec.model),
        "method": {"name": workload.method, **workload.options},
        "data": {
            "train": str(spec.train),
            "validation": str(spec.validation),
            "max_input_tokens": workload.max_input_tokens,
            "max_target_tokens": workload.max_target_tokens,
        },
        "optim": {
            "epochs": workload.epochs,
            "batch_size": workload.batch_size,
            "learning_rate": workload.learning_rate,
        },
        "runtime": {"seed": spec.seed, **workload.runtime},
        "output": str(spec.output),
    }


def train_run(spec: Spec) -> dict:
    first = FirstStep()
    done = train(configuration(spec), callbacks=[first])
    records = read_rows(done.run / "metrics.jsonl")
    # Of the last epoch, as the other side's: `done.metrics` is of the best.
    metrics = [r["evaluation"] for r in records if "evaluation" in r][-1]
    return {
        "first_step": first.when,
        "examples_per_second": steady_rate(records),
        "loss": metrics["loss"],
        "metrics": metrics,
    }


def steady_rate(records: list[dict]) -> float:
    """Examples a second over the updates after the first tenth.

    Every record covers as many updates, so the mean rate is the harmonic one.
    """
    rates = [r["examples_per_second"] for r in records if "loss" in r]
    steady = rates[max(1, len(rates) // 10) :]
    return len(steady) / sum(1 / rate for rate in steady)


def answer(spec: Spec) -> dict:
    """Greedy answers, 16 new tokens each, after one warm-up pass."""
    from kerastune_llm import load_model, load_tokenizer
    from kerastune_llm.models.generation import Generator

    workload: Workload = spec.workload
    tokenizer = load_tokenizer(spec.model)
    texts = [row["input"] for row in read_rows(spec.validation)]
    ids = tokenizer(
        texts, truncation=True, max_length=workload.max_input_tokens
    ).input_ids
    generator = Generator(
        load_model(spec.model), max_new_tokens=16, batch_size=workload.batch_size
    )
    generator(ids)
    began = time.perf_counter()
    generator(ids)
    return {"examples_per_second": len(ids) / (time.perf_counter() - began)}


def main() -> None:
    spec = Spec.read(Path(sys.argv[1]))
    result = (answer if spec.workload.measure == "answers" else train_run)(spec)
    done = time.time()
    result |= {
        "began": BEGAN,
        "done": done,
        "matrix_flops": matrix_flops(spec.workload.product),
    }
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
