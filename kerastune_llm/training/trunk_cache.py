"""The frozen trunk's outputs of every row, computed once and streamed into batches."""

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from kerastune_llm.backend import tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.trunk import PREFIX
from kerastune_llm.training.trunk_outputs import TrunkOutputs, without_rows

logger = logging.getLogger(__name__)

GIGABYTE = 2**30


@dataclass(frozen=True)
class RowFeatures:
    """One output of the trunk for all rows.

    Args:
        values: `[positions, width]`, the rows one after another without padding.
        starts: Where each row begins, `[rows + 1]`.
        has_length: Whether a row has any number of positions, `[length, width]`, or
            always one, `[width]`.
        dtype: Of the numbers as they were computed; `values` may keep fewer bits.
    """

    values: np.ndarray
    starts: np.ndarray
    has_length: bool
    dtype: np.dtype

    def batch(self, rows: np.ndarray, length: int) -> np.ndarray:
        """`[rows, length, width]` filled up with zeros, or `[rows, width]`."""
        if not self.has_length:
            return self.values[rows]
        shape = (len(rows), length, self.values.shape[1])
        padded = np.zeros(shape, self.values.dtype)
        for place, row in enumerate(rows):
            start, end = self.starts[row], self.starts[row + 1]
            padded[place, : end - start] = self.values[start:end]
        return padded


class TrunkCache:
    """What a trunk gives for every row of a dataset, in memory or on disk.

    Args:
        outputs: What is kept.
        lengths: Tokens of every row in the column that the outputs are as long as.
        memory_limit: Gigabytes kept in memory; more goes to a temporary file.
        folder: Where that file is made; default: the system's.
        precision: `"bfloat16"` keeps numbers in 16 bits; default: as computed.
    """

    def __init__(
        self,
        outputs: TrunkOutputs,
        lengths: np.ndarray,
        *,
        memory_limit: float = 2.0,
        folder: Path | None = None,
        precision: Literal["bfloat16"] | None = None,
    ) -> None:
        self.outputs = outputs
        self.lengths = np.asarray(lengths)
        self.memory_limit = memory_limit
        self.folder = folder
        self.precision = precision
        self.features: dict[str, RowFeatures] = {}

    @property
    def size(self) -> int:
        """Bytes of all outputs."""
        return sum(feature.values.nbytes for feature in self.features.values())

    def fill(
        self,
        batches: tf.data.Dataset,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> None:
        """Compute the outputs of every row, once.

        Args:
            batches: Each row in one of them, as `build_dataset` makes them
                `with_rows`.
            on_batch: Called with rows done and rows in all after each batch.
        """
        function = self.outputs.function(batches.element_spec)
        done = 0
        for batch in batches:
            rows = batch["rows"].numpy()
            for name, value in function(batch).items():
                self._keep(name, value.numpy(), rows)
            done += len(rows)
            if on_batch is not None:
                on_batch(done, len(self.lengths))
        logger.info(
            "trunk cache: %s of %d rows computed once, %.2f GB",
            ", ".join(self.features),
            len(self.lengths),
            self.size / GIGABYTE,
        )

    def add_to(
        self, batches: tf.data.Dataset, *, with_rows: bool = False
    ) -> tf.data.Dataset:
        """The batches with the trunk's outputs beside their own tensors.

        Args:
            batches: As `build_dataset` makes them `with_rows`.
            with_rows: Whether `rows` stays; the model is not called with it.
        """
        added = batches.map(self._with_features, num_parallel_calls=tf.data.AUTOTUNE)
        if not with_rows:
            added = added.map(without_rows)
        return added.prefetch(tf.data.AUTOTUNE)

    def _with_features(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        column = batch[self.outputs.cut.length_column]
        length = tf.shape(column)[-1]
        dtypes = [feature.values.dtype for feature in self.features.values()]
        values = tf.numpy_function(self._gather, [batch["rows"], length], dtypes)
        added = {}
        for value, (name, feature) in zip(values, self.features.items(), strict=True):
            middle = [column.shape[-1]] if feature.has_length else []
            rows = batch["rows"].shape[0]
            value.set_shape([rows, *middle, feature.values.shape[1]])
            added[PREFIX + name] = tf.cast(value, feature.dtype)
        return {**batch, **added}

    def _gather(self, rows: np.ndarray, length: int) -> list[np.ndarray]:
        return [feature.batch(rows, length) for feature in self.features.values()]

    def _keep(self, name: str, values: np.ndarray, rows: np.ndarray) -> None:
        if name not in self.features:
            self.features[name] = self._room_for(values)
        feature = self.features[name]
        if not feature.has_length:
            feature.values[rows] = values
            return
        for row, value in zip(rows, values, strict=True):
            start, end = feature.starts[row], feature.starts[row + 1]
            feature.values[start:end] = value[: end - start]

    def _room_for(self, values: np.ndarray) -> RowFeatures:
        has_length = values.ndim == 3
        counts = self.lengths if has_length else np.ones_like(self.lengths)
        starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        shape = (int(starts[-1]), values.shape[-1])
        kept = np.dtype(tf.as_dtype(self.precision or values.dtype).as_numpy_dtype)
        size = kept.itemsize * shape[0] * shape[1]
        fits = self.size + size <= self.memory_limit * GIGABYTE
        room = np.zeros(shape, kept) if fits else self._on_disk(shape, kept)
        return RowFeatures(room, starts, has_length, values.dtype)

    def _on_disk(self, shape: tuple[int, int], dtype: np.dtype) -> np.memmap:
        try:
            # It has no name: it is gone with the process, however that ends.
            with tempfile.TemporaryFile(dir=self.folder) as file:
                return np.memmap(file, dtype, mode="w+", shape=shape)
        except OSError as error:
            raise UserError(
                f"There is no room for the trunk's outputs ({error.strerror}).",
                received=f"{shape[0] * shape[1] * dtype.itemsize / GIGABYTE:.1f} GB",
                mend="--no-runtime.trunk-cache, or TMPDIR=/another/folder",
            ) from error
