"""Label probabilities from a classification head, compiled for a few lengths."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kerastune_llm.backend import keras, tf

LENGTH_MULTIPLE = 16


class Classifier:
    """Probabilities of the labels for token ids of any length.

    Rows are sorted by length and padded to a multiple of 16 tokens, so few shapes are
    traced and little of the work is padding.

    Args:
        model: A sequence classification model; later changes of its weights are seen.
        pad_token_id: Id that padding is filled with.
        batch_size: Rows at a time.
        max_input_tokens: No shape is longer than this.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        pad_token_id: int,
        batch_size: int = 16,
        max_input_tokens: int = 512,
    ) -> None:
        self.pad_token_id = pad_token_id
        self.batch_size = batch_size
        self.max_input_tokens = max_input_tokens
        self._logits = tf.function(
            lambda features: model(features, training=False).logits,
            reduce_retracing=True,
        )

    def __call__(
        self,
        columns: Mapping[str, Sequence[Sequence[int]]],
        on_batch: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Softmax probabilities.

        Args:
            columns: `input_ids` and, for models that use them, `token_type_ids`.
            on_batch: Called with rows done and rows in all after each batch.

        Returns:
            float32 `[rows, labels]`, in the order of the rows.
        """
        columns = {name: list(values) for name, values in columns.items()}
        lengths = np.array([len(ids) for ids in columns["input_ids"]])
        order = np.argsort(lengths, kind="stable")
        parts = []
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            features = self._padded(columns, chosen, int(lengths[chosen].max()))
            parts.append(tf.nn.softmax(self._logits(features)).numpy())
            if on_batch is not None:
                on_batch(start + len(chosen), len(order))
        probabilities = np.concatenate(parts)
        return probabilities[np.argsort(order, kind="stable")]

    def _padded(
        self,
        columns: Mapping[str, Sequence[Sequence[int]]],
        rows: np.ndarray,
        length: int,
    ) -> dict[str, tf.Tensor]:
        width = -(-length // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        width = max(length, min(width, self.max_input_tokens))
        features = {}
        for name, values in columns.items():
            fill = self.pad_token_id if name == "input_ids" else 0
            table = np.full([len(rows), width], fill, np.int32)
            for place, row in enumerate(rows):
                table[place, : len(values[row])] = values[row]
            features[name] = tf.constant(table)
        mask = np.zeros([len(rows), width], np.int32)
        for place, row in enumerate(rows):
            mask[place, : len(columns["input_ids"][row])] = 1
        features["attention_mask"] = tf.constant(mask)
        return features
