"""Where the time of a training step goes, beyond what its matrix products must take.

    python tests/benchmarks/step_profile.py [W1 W2 W4 W5] [--shared FOLDER]

Of a workload's training batches it takes the one of median size, and times on it, each
the best of several runs in one process: the step, the step without its update, and that
without dropout; and every matrix product that the step's graph holds, by itself, at its
own shape. From these the step is put together:

    floor       the products' operations, at the speed of a large product
    products    what they take at their own shapes beyond that
    between     norms, softmax, activations, reshaping: the rest of both passes
    dropout     drawing and applying the masks
    update      the optimizer, the gradients' norm and summing embedding gradients

Of a text the products are counted with the vocabulary's scores at every place of the
batch's targets; the step leaves out those that are padding.
"""

import argparse
import collections
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from side_tensorflow import matrix_flops
from vs_pytorch import REPOSITORY, prepare
from workloads import WORKLOADS, Spec, read_rows

from kerastune_llm import apply_method, load_model, load_tokenizer
from kerastune_llm.backend import keras, tf
from kerastune_llm.training.dropout import dropout_from
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model, loss_sum
from kerastune_llm.training.used_rows import special_ids, token_matrix

RUNS = 12
PRODUCTS = ("MatMul", "BatchMatMulV2")


def best(function: Callable[[], object]) -> float:
    """Seconds of the fastest run, after two that are not timed."""
    seconds = []
    for _ in range(RUNS + 2):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min(seconds[2:])


def median_batch(spec: Spec, tokenizer: object) -> dict[str, tf.Tensor]:
    """Rows of median length, padded to the longest of them."""
    workload = spec.workload
    rows = read_rows(spec.train)
    is_text = workload.task == "squad"

    def ids(column: str, limit: int) -> list[list[int]]:
        texts = [row[column] for row in rows]
        return tokenizer(texts, truncation=True, max_length=limit)["input_ids"]

    inputs = ids("input", workload.max_input_tokens)
    order = sorted(range(len(rows)), key=lambda row: len(inputs[row]))
    start = (len(rows) - workload.batch_size) // 2
    chosen = order[start : start + workload.batch_size]
    padded = tokenizer.pad(
        {"input_ids": [inputs[row] for row in chosen]}, return_tensors="np"
    )
    batch = {name: tf.constant(value, tf.int32) for name, value in padded.items()}
    if not is_text:
        labels = tf.constant([rows[row]["target"] for row in chosen], tf.int32)
        return {**batch, "labels": labels}
    targets = ids("target", workload.max_target_tokens)
    labels = tf.ragged.constant([targets[row] for row in chosen], dtype=tf.int32)
    return {**batch, "labels": labels.to_tensor(-100)}


def compiled(spec: Spec) -> keras.Model:
    """The workload's model, as `train` compiles it."""
    workload = spec.workload
    kinds = {"cola": "classification", "squad": "seq2seq"}
    labels = ("0", "1") if workload.task == "cola" else None
    model = load_model(spec.model, kind=kinds[workload.task], labels=labels)
    apply_method(model, workload.method, **workload.options)
    optimizer = build_optimizer("adamw", learning_rate=workload.learning_rate)
    matrix = token_matrix(model)
    if matrix is not None:
        optimizer.use_rows(matrix, _rows_of_all(spec, model))
    compile_model(model, optimizer)
    return model


def _rows_of_all(spec: Spec, model: keras.Model) -> np.ndarray:
    """The token embeddings that some training row reads."""
    tokenizer = load_tokenizer(spec.model)
    texts = [row[name] for row in read_rows(spec.train) for name in ("input", "target")]
    ids = tokenizer([text for text in texts if isinstance(text, str)])["input_ids"]
    found = set().union(*ids) | special_ids(model) | set(tokenizer.all_special_ids)
    return np.array(sorted(found), np.int32)


def timings(model: keras.Model, batch: dict[str, tf.Tensor]) -> dict[str, float]:
    """Seconds of the step, of both passes, and of both passes without dropout."""

    def passes(*, dropout: bool) -> Callable[[], object]:
        def gradients(rows: dict[str, tf.Tensor]) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                if dropout:
                    with dropout_from(model, 0, model.optimizer.iterations):
                        loss, _ = loss_sum(model, rows, training=True)
                else:
                    loss, _ = loss_sum(model, rows, training=False)
            found = tape.gradient(loss, model.trainable_variables)
            return [g.values if isinstance(g, tf.IndexedSlices) else g for g in found]

        return tf.function(gradients, autograph=False)

    spec = {
        name: tf.TensorSpec([None] * value.shape.rank, value.dtype)
        for name, value in batch.items()
    }
    functions = {
        "step": tf.function(model.train_step, autograph=False),
        "passes": passes(dropout=True),
        "still passes": passes(dropout=False),
    }
    found = {}
    for name, function in functions.items():
        graph = function.get_concrete_function(spec)
        found[name] = best(lambda graph=graph: tf.nest.flatten(graph(batch))[0].numpy())
    return found


def products_of(model: keras.Model, batch: dict[str, tf.Tensor]) -> tuple[float, float]:
    """Seconds and operations of the step's matrix products, each run by itself."""

    def gradients(rows: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss, _ = loss_sum(model, rows, training=False)
        return tape.gradient(loss, model.trainable_variables)

    graph = tf.function(gradients, autograph=False).get_concrete_function(batch).graph
    found = collections.Counter()
    for operation in graph.get_operations():
        if operation.type in PRODUCTS:
            shapes = tuple(tuple(each.shape.as_list()) for each in operation.inputs)
            names = [n for n in operation.node_def.attr if n.startswith(("tr", "adj"))]
            flags = tuple(operation.get_attr(name) for name in sorted(names))
            found[shapes, flags] += 1
    seconds = work = 0.0
    for ((one, other), (first, second)), count in found.items():
        a, b = tf.random.normal(one), tf.random.normal(other)
        options = {"transpose_a": first, "transpose_b": second}
        product = tf.function(lambda a, b, o=options: tf.matmul(a, b, **o))
        took = best(lambda f=product, a=a, b=b: f(a, b))
        *batches, rows, columns = product(a, b).shape
        inner = one[-2] if first else one[-1]
        operations = 2 * rows * columns * inner * int(tf.reduce_prod(batches))
        seconds, work = seconds + count * took, work + count * operations
    return seconds, work


def main() -> None:
    """Print the table of the chosen workloads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="W", default=["W1", "W2", "W4"])
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    options = parser.parse_args()
    print(
        "| workload | batch | step ms | floor | products | between | dropout | update |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names:
            spec = prepare(Path(folder), options.shared, WORKLOADS[name], 0)
            print(line(name, spec), flush=True)


def line(name: str, spec: Spec) -> str:
    """A workload's row of the table, each part in milliseconds and per cent."""
    batch = median_batch(spec, load_tokenizer(spec.model))
    model = compiled(spec)
    took = timings(model, batch)
    products, work = products_of(model, batch)
    floor = work / matrix_flops()
    parts = (
        floor,
        products - floor,
        took["still passes"] - products,
        took["passes"] - took["still passes"],
        took["step"] - took["passes"],
    )
    cells = [f"{1e3 * p:.0f} ({100 * p / took['step']:.0f} %)" for p in parts]
    shape = " x ".join(map(str, batch["input_ids"].shape))
    return f"| {name} | {shape} | {1e3 * took['step']:.0f} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
