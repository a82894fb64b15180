"""Which rows make up which batch: a plan in plain numpy, made before the first step.

An epoch's order is a function of the seed and the epoch's number alone, so the rows of
step 5,000 are known without running 4,999 steps: a run resumes exactly.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from kerastune_llm.errors import UserError

Batching = Literal["bucket", "pad", "fixed", "pack"]
BATCHINGS = ("bucket", "pad", "fixed", "pack")
WINDOW = 50


def count_steps(num_rows: int, *, batch_size: int, epochs: int = 1) -> int:
    """Batches in that many epochs; an epoch's last batch may be smaller.

    Raises:
        UserError: The batch size is not positive.

    Example:
    >>> count_steps(10, batch_size=4, epochs=2)
    6
    """
    if batch_size < 1:
        raise UserError("The batch size must be positive.", received=batch_size)
    return epochs * -(-num_rows // batch_size)


def plan_batches(
    lengths: np.ndarray,
    *,
    batch_size: int,
    steps: int | None = None,
    seed: int = 0,
    shuffle: bool = True,
    batching: Batching = "bucket",
) -> list[np.ndarray]:
    """Row indices of each step, epoch after epoch, every row once in an epoch.

    `"pad"` takes the rows as they come. `"bucket"` puts rows of like length together:
    within windows of 50 batches when shuffling, else over all rows. `"fixed"` is
    `"pad"` with the last batch filled up by rows from the epoch's beginning, so that
    all batches have one size; `rows_that_count` says how many of a batch's rows do not
    come a second time. `"pack"` takes the same rows as
    `"pad"`; each step's are then laid into fewer rows, see `packing.py`.

    Args:
        lengths: Tokens of each row, `[rows]`.
        batch_size: Rows in a batch, before they are packed.
        steps: Batches in the plan; default: one epoch.
        seed: Decides the order, with the epoch's number.
        shuffle: Without, every epoch is the same, and in order unless bucketed.
        batching: `"bucket"`, `"pad"`, `"fixed"` or `"pack"`.

    Raises:
        UserError: No rows, no positive batch size, or another kind of batching.

    Example:
    >>> plan_batches(np.array([3, 9, 4, 8]), batch_size=2, shuffle=False)
    [array([0, 2]), array([3, 1])]
    """
    if len(lengths) == 0:
        raise UserError("There are no rows to make batches of.")
    if batching not in BATCHINGS:
        raise UserError(
            "Unknown batching.", accepted=", ".join(BATCHINGS), received=batching
        )
    per_epoch = count_steps(len(lengths), batch_size=batch_size)
    steps = per_epoch if steps is None else steps
    plan: list[np.ndarray] = []
    for epoch in range(-(-steps // per_epoch)):
        rng = np.random.default_rng([seed, epoch]) if shuffle else None
        plan += _epoch(lengths, batch_size, batching, rng)
    return plan[:steps]


def rows_that_count(num_rows: int, *, batch_size: int, step: int) -> int:
    """How many of the first rows of a step's `"fixed"` batch do not come a second time.

    >>> [rows_that_count(10, batch_size=4, step=step) for step in range(4)]
    [4, 4, 2, 4]
    """
    per_epoch = count_steps(num_rows, batch_size=batch_size)
    is_last = step % per_epoch == per_epoch - 1
    return num_rows - (per_epoch - 1) * batch_size if is_last else batch_size


def padding_share(
    lengths: np.ndarray, plan: Sequence[np.ndarray], pad_to_multiple_of: int = 1
) -> float:
    """The share of all cells `[batch, length]` of a plan that are padding.

    >>> padding_share(np.array([3, 9, 4, 8]), [np.array([0, 2]), np.array([1, 3])])
    0.07692307692307687
    """
    tokens = sum(int(lengths[rows].sum()) for rows in plan)
    cells = sum(
        len(rows) * round_up(int(lengths[rows].max()), pad_to_multiple_of)
        for rows in plan
    )
    return 1 - tokens / cells


def round_up(length: int, multiple: int) -> int:
    """The next multiple of `multiple`.

    >>> round_up(65, 64)
    128
    """
    return -(-length // multiple) * multiple


def width_multiple(longest: int, limit: int | None = None, widths: int = 12) -> int:
    """What widths are to be multiples of, so that there are few: XLA compiles each.

    A multiple of 8, which tensor cores and vector units like, unless not even the
    widest batch would then be within the limit.

    Args:
        longest: Tokens of the longest row.
        limit: Positions that the model knows, if they end.
        widths: About how many there may be.

    >>> width_multiple(384), width_multiple(47), width_multiple(512, limit=512)
    (32, 8, 32)
    """
    largest = round_up(-(-longest // widths), 8)
    fitting = (
        multiple
        for multiple in range(largest, 0, -8)
        if limit is None or round_up(longest, multiple) <= limit
    )
    return next(fitting, 1)


def _epoch(
    lengths: np.ndarray,
    batch_size: int,
    batching: Batching,
    rng: np.random.Generator | None,
) -> list[np.ndarray]:
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    if batching == "fixed":
        steps = count_steps(len(lengths), batch_size=batch_size)
        return list(np.resize(order, (steps, batch_size)))
    if batching in ("pad", "pack"):
        return _split(order, batch_size)
    if rng is None:
        return _split(_by_length(order, lengths), batch_size)
    windows = _split(order, WINDOW * batch_size)
    batches = [
        batch
        for window in windows
        for batch in _split(_by_length(window, lengths), batch_size)
    ]
    return [batches[index] for index in rng.permutation(len(batches))]


def _by_length(rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    return rows[np.argsort(lengths[rows], kind="stable")]


def _split(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
