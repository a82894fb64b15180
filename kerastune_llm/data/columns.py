"""Token columns as flat arrays: any rows' padded batch by one gather."""

from dataclasses import dataclass

import datasets
import numpy as np
import pyarrow


@dataclass(frozen=True)
class TokenColumn:
    """Lists of ids laid end to end.

    Args:
        values: All ids, `[tokens]`.
        starts: Where each row begins in `values`, `[rows]`.
        lengths: Ids of each row, `[rows]`.
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def padded(self, rows: np.ndarray, width: int, pad: int) -> np.ndarray:
        """The ids of some rows, `[len(rows), width]`, filled up with `pad`.

        >>> starts, lengths = np.array([0, 2]), np.array([2, 1])
        >>> column = TokenColumn(np.array([5, 6, 7]), starts, lengths)
        >>> column.padded(np.array([1, 0]), width=3, pad=0)
        array([[7, 0, 0],
               [5, 6, 0]])
        """
        places = np.arange(width)
        lengths = self.lengths[rows, None]
        index = self.starts[rows, None] + np.minimum(places, np.maximum(lengths - 1, 0))
        if self.values.size == 0:
            return np.full(index.shape, pad)
        last = self.values.size - 1
        return np.where(places < lengths, self.values[np.minimum(index, last)], pad)


def token_column(dataset: datasets.Dataset, name: str) -> TokenColumn:
    """A column of lists, rows in the dataset's order, also after `select`."""
    chunks = _arrow_column(dataset, name).chunks
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in chunks]
    lengths = [chunk.value_lengths().to_numpy(zero_copy_only=False) for chunk in chunks]
    # One chunk is taken as it lies in Arrow's memory.
    values = parts[0] if len(parts) == 1 else np.concatenate(parts)
    all_lengths = np.concatenate(lengths).astype(np.int64)
    return TokenColumn(values, np.cumsum(all_lengths) - all_lengths, all_lengths)


def number_column(dataset: datasets.Dataset, name: str) -> np.ndarray:
    """A column of numbers, `[rows]`, or of lists of one length, `[rows, length]`."""
    if isinstance(dataset.features[name], datasets.List):
        values = _arrow_column(dataset, name).combine_chunks().flatten().to_numpy()
        return values.reshape(len(dataset), -1)
    return _arrow_column(dataset, name).to_numpy()


def is_token_column(dataset: datasets.Dataset, name: str) -> bool:
    """Whether each row of the column is a list of ids."""
    feature = dataset.features[name]
    is_list = isinstance(feature, datasets.List | datasets.LargeList)
    return is_list and not feature.feature.dtype.startswith("float")


def _arrow_column(dataset: datasets.Dataset, name: str) -> pyarrow.ChunkedArray:
    return dataset.select_columns(name).with_format("arrow")[:].column(name)
