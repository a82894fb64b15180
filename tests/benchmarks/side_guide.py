"""The TensorFlow recipe of the guides: everything padded, plain Keras, last layer.

    .venv/bin/python tests/benchmarks/side_guide.py SPEC.json RESULT.json

Inputs padded to 512 tokens and labels to 64, every layer but the last frozen with
`layer.trainable`, Keras' own AdamW, `fit`.
"""

import json
import sys
import time
from pathlib import Path

BEGAN = time.time()

from workloads import Spec, read_rows  # noqa: E402

from kerastune_llm import load_model, load_tokenizer  # noqa: E402
from kerastune_llm.backend import keras, tf  # noqa: E402

INPUTS, LABELS = 512, 64


class StepTimes(keras.callbacks.Callback):
    """Seconds of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.first: float | None = None
        self.seconds: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.seconds.append(time.perf_counter() - self._began)
        self.first = self.first or time.time()


def main() -> None:
    spec = Spec.read(Path(sys.argv[1]))
    workload = spec.workload
    tokenizer = load_tokenizer(spec.model)
    model = load_model(spec.model)
    for layer in model.layers[:-1]:
        layer.trainable = False
    rows = read_rows(spec.train)
    padded = {"padding": "max_length", "truncation": True, "return_tensors": "np"}
    inputs = tokenizer([r["input"] for r in rows], max_length=INPUTS, **padded)
    labels = tokenizer([r["target"] for r in rows], max_length=LABELS, **padded)
    labels = labels["input_ids"]
    labels[labels == tokenizer.pad_token_id] = -100
    batches = (
        tf.data.Dataset.from_tensor_slices({**inputs, "labels": labels})
        .shuffle(len(rows), seed=spec.seed)
        .batch(workload.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
    model.compile(
        keras.optimizers.AdamW(workload.learning_rate), loss=model.hf_compute_loss
    )
    times = StepTimes()
    model.fit(batches, epochs=workload.epochs, callbacks=[times], verbose=0)
    model.save_pretrained(spec.output)
    steady = times.seconds[len(times.seconds) // 10 :]
    result = {
        "first_step": times.first,
        "examples_per_second": workload.batch_size * len(steady) / sum(steady),
        "loss": None,
        "began": BEGAN,
        "done": time.time(),
    }
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
