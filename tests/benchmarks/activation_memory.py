"""Compare `plan`'s estimate of activations with the memory they really take on CPU.

    python tests/benchmarks/activation_memory.py MODEL [--method lora] [--precision ...]
        [--gradient-checkpointing]

MODEL is what `--model` takes. A process of its own builds the model with random
weights, applies the method, and computes loss and gradients as one `tf.function` with
the package's own loss, dropout on: first for one short row, so that everything is
traced and allocated once, then for each batch. Measured is the high-water mark of
resident memory (`VmHWM`, reset through `/proc/self/clear_refs`) during a batch, above
what was resident before it. For that, freed memory must leave the process: large
buffers are mapped one by one (`MALLOC_MMAP_THRESHOLD_`), and oneDNN is off, whose
allocator keeps what it has.

The figure holds the activations and what is computed with at the worst moment. The
gradients of the weights come into being while activations go, and count only where
they are more: with --gradient-checkpointing they soon are. Linux only.
"""

import argparse
import contextlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

# Rows, input and target tokens: the last is of no account to a classifier.
CASES = ((8, 128, 32), (16, 128, 64), (8, 256, 16), (4, 512, 64))
SHORT = (1, 8, 4)
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(64 * 1024),
    "MALLOC_TRIM_THRESHOLD_": "0",
    "MALLOC_TOP_PAD_": "0",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def resident(field: str) -> int:
    """A field of /proc/self/status in bytes: `VmRSS`, or `VmHWM` for the highest."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def measure(options: argparse.Namespace) -> None:
    """Print the peak and the estimate of each case."""
    from kerastune_llm.backend import tf
    from kerastune_llm.methods.apply import apply_method
    from kerastune_llm.models.activations import activation_bytes, sizes_of, uses_of
    from kerastune_llm.models.layout import layout_of
    from kerastune_llm.models.loading import load_model
    from kerastune_llm.models.surgery import trainable_names
    from kerastune_llm.training.dropout import dropout_from
    from kerastune_llm.training.precision import set_precision
    from kerastune_llm.training.recomputation import recomputed
    from kerastune_llm.training.step import loss_sum

    set_precision(options.precision, "bert")
    model = load_model(options.model, from_scratch=True, seed=0)
    apply_method(model, options.method)
    sizes, layout = sizes_of(model.config), layout_of(model)
    uses = uses_of(layout, trainable_names(model), sizes)
    is_text = model.config.is_encoder_decoder
    labels_shape = [None, None] if is_text else [None]
    specification = {
        "input_ids": tf.TensorSpec([None, None], tf.int32),
        "attention_mask": tf.TensorSpec([None, None], tf.int32),
        "labels": tf.TensorSpec(labels_shape, tf.int32),
    }

    @tf.function(input_signature=[specification])
    def gradients(batch: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        with contextlib.ExitStack() as within:
            tape = within.enter_context(tf.GradientTape())
            draws = within.enter_context(dropout_from(model, 0))
            if options.gradient_checkpointing:
                within.enter_context(recomputed(model, draws))
            loss, _ = loss_sum(model, batch, training=True)
        return tape.gradient(loss, model.trainable_variables)

    def batch(rows: int, inputs: int, targets: int) -> dict[str, tf.Tensor]:
        ids = tf.random.uniform([rows, inputs], 3, 1000, tf.int32)
        shape = [rows, targets] if is_text else [rows]
        labels = tf.random.uniform(shape, 0, 2, tf.int32)
        mask = tf.ones_like(ids)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    gradients(batch(*SHORT))
    print("rows  input  target  measured MiB  estimate MiB  ratio")
    for rows, inputs, targets in CASES:
        inputs_of_case = batch(rows, inputs, targets)
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        gradients(inputs_of_case)
        peak = (resident("VmHWM") - before) / 2**20
        width = 4 if options.precision == "float32" else 2
        row = activation_bytes(
            sizes,
            uses,
            inputs,
            targets,
            width=width,
            use_recomputation=options.gradient_checkpointing,
        )
        estimate = rows * row / 2**20
        print(f"{rows:4}  {inputs:5}  {targets:6}", end="  ")
        print(f"{peak:12.1f}  {estimate:12.1f}  {estimate / peak:5.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--method", default="full")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # They are read when a process starts.
        command = [sys.executable, *sys.argv]
        os.execve(sys.executable, command, {**os.environ, **ENVIRONMENT})
    measure(options)


if __name__ == "__main__":
    main()
