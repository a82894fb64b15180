"""Rows of one split whose input is that of a row of another."""

from collections.abc import Sequence

import datasets
import numpy as np

BATCH = 10_000


def input_keys(rows: datasets.Dataset, names: Sequence[str]) -> np.ndarray:
    """A number for each row, the same where the columns `names` hold the same texts.

    Two different inputs share one of the 2^64 numbers by such a rare chance that counts
    of equal ones stay right. They hold within one process.

    Args:
        rows: Canonical rows.
        names: Columns that the input is made of.
    """
    chosen = rows.select_columns(list(names))
    return np.array(
        [
            hash(texts)
            for batch in chosen.iter(batch_size=BATCH)
            for texts in zip(*(batch[name] for name in names), strict=True)
        ],
        dtype=np.int64,
    )


def count_shared(
    rows: datasets.Dataset, others: datasets.Dataset, names: Sequence[str]
) -> int:
    """How many of `rows` have an input that is also one of `others`.

    >>> rows = datasets.Dataset.from_dict({"q": ["a", "b", "a"]})
    >>> count_shared(rows, datasets.Dataset.from_dict({"q": ["a", "c"]}), ["q"])
    2
    """
    return int(np.isin(input_keys(rows, names), input_keys(others, names)).sum())


def count_repeated(rows: datasets.Dataset, names: Sequence[str]) -> int:
    """How many rows have the input of a row before them.

    >>> count_repeated(datasets.Dataset.from_dict({"q": ["a", "b", "a"]}), ["q"])
    1
    """
    return len(rows) - len(np.unique(input_keys(rows, names)))
