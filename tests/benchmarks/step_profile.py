"""Where the time of a training step or of answers goes, by TensorFlow's own trace.

    python tests/benchmarks/step_profile.py [W1 W2 W4 W5 W7] [--shared FOLDER]

Of a workload's rows it takes a batch of median length. Operations run one after the
other here, each on all cores, so that their times add up to the step's; in a run small
ones overlap, and its step is some per cent shorter. By what they are:

    floor         the products' arithmetic at the speed of a large product
    products      what matrix products take
    elementwise   activations, masks applied, residual sums, parts of norms
    sums          means of norms, gradients of biases, the gradients' norm
    layout        transposing, slicing, gathering, casting
    compiled      what XLA made: the update, masks of dropout
    other         softmax and loss among them
    between       what the executor does between two operations
"""

import argparse
import collections
import math
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from vs_pytorch import REPOSITORY, prepare
from workloads import WORKLOADS, Spec, read_rows

from kerastune_llm import apply_method, load_model, load_tokenizer
from kerastune_llm.backend import keras, tf
from kerastune_llm.models.generation import Generator
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model, loss_sum
from kerastune_llm.training.throughput import matrix_flops
from kerastune_llm.training.used_rows import special_ids, token_matrix

NAMES = ("W1", "W2", "W4", "W5", "W7")
RUNS, TRACED = 8, 4
NEW_TOKENS = 16
# What an operation's type, without oneDNN's prefix, begins with.
KINDS = {
    "products": ("MatMul", "BatchMatMul", "Einsum"),
    "sums": ("Sum", "Mean", "AddN", "BiasAddGrad", "L2Loss", "UnsortedSegmentSum"),
    "layout": (
        *("Transpose", "Reshape", "Cast", "BroadcastTo", "Concat", "Pad", "Tile"),
        *("StridedSlice", "Slice", "Gather", "Select", "Pack", "Split", "ExpandDims"),
    ),
    "elementwise": (
        *("Mul", "Add", "Sub", "Neg", "RealDiv", "Square", "Rsqrt", "Sqrt", "Pow"),
        *("Exp", "Erf", "Tanh", "Relu", "BiasAdd", "Maximum", "_UnaryOps", "Recip"),
    ),
}
COLUMNS = (*KINDS, "compiled", "other", "between")
# Of one thread of the executor, self times of its own events and of XLA's.
EXECUTOR = ("ExecutorState", "FunctionRun", "EagerKernel", "KernelAndDevice")


def kind_of(name: str) -> str:
    """The column that an event of the trace belongs to.

    >>> [kind_of(name) for name in ("a/MatMul:_MklMatMul", "a/add_1:AddV2", "b/c:Bid")]
    ['products', 'elementwise', 'other']
    >>> kind_of("multiply_add_fusion.12"), kind_of("ExecutorState::Process")
    ('compiled', 'between')
    """
    if name.startswith(EXECUTOR):
        return "between"
    _, mark, operation = name.rpartition(":")
    if not mark or "::" in name:
        return "compiled"
    operation = operation.removeprefix("_Mkl").removeprefix("_Fused")
    # The longest fits best: BiasAddGrad is no BiasAdd.
    fitting = [
        (len(start), kind)
        for kind, starts in KINDS.items()
        for start in starts
        if operation.startswith(start)
    ]
    return max(fitting)[1] if fitting else "other"


def self_times(events: Iterable[tuple[int, int, str]]) -> dict[str, float]:
    """Seconds of each kind, without what nested events took.

    >>> self_times([(0, 10**12, "ExecutorState::Process"), (0, 10**11, "a:Mul")])
    {'between': 0.9, 'elementwise': 0.1}
    """
    found: dict[str, int] = collections.Counter()
    open_events: list[tuple[int, str]] = []
    for start, duration, name in sorted(events, key=lambda e: (e[0], -e[1])):
        while open_events and open_events[-1][0] <= start:
            open_events.pop()
        kind = kind_of(name)
        found[kind] += duration
        if open_events:
            found[open_events[-1][1]] -= duration
        open_events.append((start + duration, kind))
    return {kind: picoseconds / 1e12 for kind, picoseconds in found.items()}


def traced(run: Callable[[], object]) -> dict[str, float]:
    """Seconds of each kind in one run."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(TRACED):
                run()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    (plane,) = (plane for plane in space.planes if plane.name == "/host:CPU")
    names = {n: metadata.name for n, metadata in plane.event_metadata.items()}
    found: dict[str, float] = collections.Counter()
    for line in plane.lines:
        if line.name.startswith("tf_Compute"):
            events = [
                (e.offset_ps, e.duration_ps, names[e.metadata_id]) for e in line.events
            ]
            found.update(self_times(events))
    return {kind: seconds / TRACED for kind, seconds in found.items()}


def best(run: Callable[[], object]) -> float:
    """Seconds of the fastest run, after two that are not timed."""
    seconds = []
    for _ in range(RUNS + 2):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds[2:])


def median_rows(spec: Spec, tokenizer: object) -> tuple[list[dict], list[list[int]]]:
    """A batch of rows around the median length, and their inputs' ids."""
    workload = spec.workload
    rows = read_rows(spec.validation if workload.measure == "answers" else spec.train)
    texts = [row["input"] for row in rows]
    limit = workload.max_input_tokens
    ids = tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
    order = sorted(range(len(rows)), key=lambda row: len(ids[row]))
    start = (len(rows) - workload.batch_size) // 2
    chosen = order[start : start + workload.batch_size]
    return [rows[row] for row in chosen], [ids[row] for row in chosen]


def training(spec: Spec) -> tuple[Callable[[], object], float, str]:
    """One step as `train` has it, its products' operations, and the batch's shape."""
    tokenizer = load_tokenizer(spec.model)
    rows, ids = median_rows(spec, tokenizer)
    padded = tokenizer.pad({"input_ids": ids}, return_tensors="np")
    batch = {name: tf.constant(value, tf.int32) for name, value in padded.items()}
    targets = [row["target"] for row in rows]
    if spec.workload.task == "squad":
        limit = spec.workload.max_target_tokens
        labels = tokenizer(targets, truncation=True, max_length=limit)["input_ids"]
        labels = tf.ragged.constant(labels, dtype=tf.int32).to_tensor(-100)
    else:
        labels = tf.constant(targets, tf.int32)
    batch["labels"] = labels
    model = compiled(spec)
    signature = {
        name: tf.TensorSpec([None] * value.shape.rank, value.dtype)
        for name, value in batch.items()
    }
    function = tf.function(model.train_step, autograph=False)
    step = function.get_concrete_function(signature)

    def gradients(rows: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss, _ = loss_sum(model, rows, training=False)
        return tape.gradient(loss, model.trainable_variables)

    # A step's own graph does not know all shapes.
    known = tf.function(gradients, autograph=False).get_concrete_function(batch).graph
    shape = " x ".join(map(str, batch["input_ids"].shape))
    return lambda: tf.nest.flatten(step(batch))[0].numpy(), operations(known), shape


def answering(spec: Spec) -> tuple[Callable[[], object], float, str]:
    """Answers to one batch; their products are not counted."""
    _, ids = median_rows(spec, load_tokenizer(spec.model))
    generator = Generator(
        load_model(spec.model), max_new_tokens=NEW_TOKENS, batch_size=len(ids)
    )
    return lambda: generator(ids), math.nan, f"{len(ids)} x {max(map(len, ids))}"


def compiled(spec: Spec) -> keras.Model:
    """The workload's model, as `train` compiles it."""
    workload = spec.workload
    is_text = workload.task == "squad"
    kind, labels = ("seq2seq", None) if is_text else ("classification", ("0", "1"))
    model = load_model(spec.model, kind=kind, labels=labels)
    apply_method(model, workload.method, **workload.options)
    optimizer = build_optimizer("adamw", learning_rate=workload.learning_rate)
    matrix = token_matrix(model)
    if matrix is not None:
        optimizer.use_rows(matrix, rows_of_all(spec, model))
    compile_model(model, optimizer)
    return model


def rows_of_all(spec: Spec, model: keras.Model) -> np.ndarray:
    """The token embeddings that some training row reads."""
    tokenizer = load_tokenizer(spec.model)
    texts = [row[name] for row in read_rows(spec.train) for name in ("input", "target")]
    ids = tokenizer([text for text in texts if isinstance(text, str)])["input_ids"]
    found = set().union(*ids) | special_ids(model) | set(tokenizer.all_special_ids)
    return np.array(sorted(found), np.int32)


def operations(graph: tf.Graph) -> float:
    """Floating-point operations of the products in a graph of known shapes.

    Those that are computed, where `models/flops.py` counts what the work asks for: a
    last block is run for the first token alone, a head for labelled tokens.
    """
    total = 0
    for operation in graph.get_operations():
        if operation.type == "Einsum":
            equation = operation.get_attr("equation").decode()
            subscripts = equation.partition("->")[0].split(",")
            sizes: dict[str, int] = {}
            for subscript, each in zip(subscripts, operation.inputs, strict=True):
                sizes |= dict(zip(subscript, each.shape.as_list(), strict=True))
            total += 2 * math.prod(sizes.values())
        elif operation.type in ("MatMul", "BatchMatMulV2"):
            flag = {"MatMul": "transpose_a", "BatchMatMulV2": "adj_x"}[operation.type]
            first = operation.inputs[0].shape.as_list()
            inner = first[-2] if operation.get_attr(flag) else first[-1]
            total += 2 * inner * operation.outputs[0].shape.num_elements()
    return float(total)


def line(name: str, spec: Spec) -> str:
    """A workload's row of the table, in milliseconds."""
    is_answers = spec.workload.measure == "answers"
    run, work, shape = (answering if is_answers else training)(spec)
    took = best(run)
    found = traced(run)
    parts = [work / matrix_flops(), *(found.get(column, 0.0) for column in COLUMNS)]
    cells = ["–" if math.isnan(p) else f"{1e3 * p:.0f}" for p in parts]
    total = 1e3 * sum(found.values())
    return (
        f"| {name} | {shape} | {1e3 * took:.0f} | {total:.0f} | {' | '.join(cells)} |"
    )


def main() -> None:
    """Print the table of the chosen workloads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="W", default=NAMES)
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no step of {', '.join(unknown)}: {', '.join(NAMES)}")
    tf.config.threading.set_inter_op_parallelism_threads(1)
    columns = ("workload", "batch", "run ms", "traced ms", "floor", *COLUMNS)
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names:
            spec = prepare(Path(folder), options.shared, WORKLOADS[name], 0)
            print(line(name, spec), flush=True)


if __name__ == "__main__":
    main()
