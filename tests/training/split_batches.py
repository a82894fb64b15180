"""Train with a batch split in every way and compare with the whole batch.

python split_batches.py KIND REPLICAS [--jit]

Prints the largest relative differences of losses and weights after 20 updates, as a
Markdown table, and exits with 1 where one is above 1e-5.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from kerastune_llm.backend import keras, tf
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model
from kerastune_llm.training.used_rows import token_matrix
from tests.tiny_models import VOCABULARY, spread, tiny, tiny_batch
from tests.training.steps import Steps

MODELS = {
    "seq2seq": ("t5", {"num_layers": 1, "dropout_rate": 0.0}),
    "classification": (
        "bert",
        {
            "num_hidden_layers": 1,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
    ),
}
UPDATES, ROWS, LONGEST = 20, 8, 60
SPREAD = 0.3
# Parts of a batch, and updates in one execution.
SPLITS = ((1, 1), (2, 1), (4, 1), (2, 6))
TOLERANCE = 1e-5


def uneven(model: keras.Model, kind: str) -> list[dict[str, tf.Tensor]]:
    """Batches of 8 and, last, 5 rows with 1 to 60 label tokens; one has no label."""
    rng = np.random.default_rng(0)
    batches = []
    for number in range(UPDATES):
        rows = ROWS if number < UPDATES - 1 else 5
        batch = dict(tiny_batch(model, rows=rows, seed=number))
        if kind == "seq2seq":
            counts = rng.choice([1, 2, 5, LONGEST], rows)
            labels = rng.integers(3, 60, [rows, LONGEST])
            labels[np.arange(LONGEST) >= counts[:, None]] = -100
        else:
            labels = rng.choice([0, 1, 2, -100], rows)
        labels[:] = -100 if number == 7 else labels
        batches.append({**batch, "labels": tf.constant(labels, tf.int32)})
    return batches


def train(
    kind: str,
    *,
    parts: int,
    together: int,
    replicas: int,
    jit: bool,
    updates_all_rows: bool = False,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The losses of all updates and the weights after them."""
    name, options = MODELS[kind]
    devices = [f"CPU:{number}" for number in range(replicas)]
    strategy = tf.distribute.get_strategy()
    if replicas > 1:
        strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        model = spread(tiny(name, **options), SPREAD)
        # Not Adam: it turns the rounding of a gradient that is zero (a shift of all
        # attention keys changes nothing) into whole steps.
        optimizer = build_optimizer("sgd", learning_rate=0.1, clip_norm=1.0)
        matrix = token_matrix(model)
        if matrix is not None and not updates_all_rows:
            # No batch has the last token of the vocabulary.
            optimizer.use_rows(matrix, np.arange(VOCABULARY - 1, dtype=np.int32))
        compile_model(
            model,
            optimizer,
            jit=jit,
            accumulate_steps=parts,
            steps_per_execution=together,
        )
    batches = uneven(model, kind)
    spec = {
        name: tf.TensorSpec([None] * value.shape.rank, value.dtype)
        for name, value in batches[0].items()
    }
    data = tf.data.Dataset.from_generator(lambda: batches, output_signature=spec)
    steps = Steps()
    model.fit(data, steps_per_epoch=UPDATES, callbacks=[steps], verbose=0)
    return np.array([logs["loss"] for logs in steps.logs]), model.get_weights()


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The length of the difference, against that of `other` where it is above one."""
    return float(np.linalg.norm(one - other) / max(np.linalg.norm(other), 1))


def main() -> None:
    kind, replicas, jit = sys.argv[1], int(sys.argv[2]), "--jit" in sys.argv
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * replicas
    )
    losses, weights = train(
        kind, parts=1, together=1, replicas=1, jit=False, updates_all_rows=True
    )
    name, options = MODELS[kind]
    start = spread(tiny(name, **options), SPREAD).get_weights()
    if losses[7] != 0 or max(map(difference, weights, start)) < 0.1:
        sys.exit("the weights did not move, or a batch without labels has a loss")
    worst = 0.0
    print("| kind | k | at once | replicas | losses | weights |")
    print("|---|---|---|---|---|---|")
    for parts, together in SPLITS:
        others, values = train(
            kind, parts=parts, together=together, replicas=replicas, jit=jit
        )
        of_losses = float(np.max(np.abs(others - losses) / np.maximum(losses, 1e-6)))
        of_weights = max(map(difference, values, weights))
        split = f"{kind} | {parts} | {together} | {replicas}"
        print(f"| {split} | {of_losses:.1e} | {of_weights:.1e} |", flush=True)
        worst = max(worst, of_losses, of_weights)
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
