"""The TensorFlow recipe of the guides: everything padded, plain Keras, last layer.

    .venv/bin/python tests/benchmarks/side_guide.py SPEC.json RESULT.json

Inputs padded to 512 tokens and labels to 64, every layer but the last frozen with
`layer.trainable`, Keras' own AdamW, `fit`; after an epoch the validation loss, and
answers by transformers' `KerasMetricCallback`.
"""

import json
import sys
import time
from pathlib import Path

BEGAN = time.time()

from workloads import Spec, exact_match, read_rows  # noqa: E402

from kerastune_llm import load_model, load_tokenizer  # noqa: E402
from kerastune_llm.backend import keras, tf, transformers  # noqa: E402

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


def padded_rows(path: Path, tokenizer) -> tf.data.Dataset:
    rows = read_rows(path)
    padded = {"padding": "max_length", "truncation": True, "return_tensors": "np"}
    inputs = tokenizer([r["input"] for r in rows], max_length=INPUTS, **padded)
    labels = tokenizer([r["target"] for r in rows], max_length=LABELS, **padded)
    labels = labels["input_ids"]
    labels[labels == tokenizer.pad_token_id] = -100
    return tf.data.Dataset.from_tensor_slices({**inputs, "labels": labels})


def main() -> None:
    spec = Spec.read(Path(sys.argv[1]))
    workload = spec.workload
    keras.mixed_precision.set_global_policy(workload.precision)
    tokenizer = load_tokenizer(spec.model)
    model = load_model(spec.model)
    for layer in model.layers[:-1]:
        layer.trainable = False
    rows = padded_rows(spec.train, tokenizer)
    batches = (
        rows.shuffle(len(rows), seed=spec.seed)
        .batch(workload.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
    validation = padded_rows(spec.validation, tokenizer).batch(16)
    model.compile(
        keras.optimizers.AdamW(workload.learning_rate), loss=model.hf_compute_loss
    )
    times = StepTimes()
    answers = transformers.KerasMetricCallback(
        lambda pair: {"exact_match": exact_match(tokenizer, *pair)},
        eval_dataset=validation,
        # Not with XLA, whose compilation takes longer here than it saves.
        predict_with_generate=True,
        generate_kwargs={"max_new_tokens": workload.max_target_tokens},
    )
    model.fit(
        batches,
        validation_data=validation,
        epochs=workload.epochs,
        callbacks=[answers, times],
        verbose=0,
    )
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
