"""What a head answers: probabilities or numbers, compiled for a few lengths."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from kerastune_llm.backend import keras, tf

LENGTH_MULTIPLE = 16

_ACTIVATIONS = {
    "classification": tf.nn.softmax,
    "multilabel": tf.nn.sigmoid,
    "regression": tf.identity,
}


class Classifier:
    """Probabilities of the labels, or numbers, for token ids of any length.

    Rows are sorted by length and padded to a multiple of 16 tokens, so few shapes are
    traced and little of the work is padding.

    Args:
        model: A sequence classification model; later changes of its weights are seen.
        kind: `"classification"` gives the softmax of the logits, `"multilabel"` the
            sigmoid of each, `"regression"` the logits themselves.
        pad_token_id: Id that padding is filled with.
        batch_size: Rows at a time.
        max_input_tokens: No shape is longer than this.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        pad_token_id: int,
        kind: Literal["classification", "multilabel", "regression"] = "classification",
        batch_size: int = 16,
        max_input_tokens: int = 512,
    ) -> None:
        self.pad_token_id = pad_token_id
        self.batch_size = batch_size
        self.max_input_tokens = max_input_tokens
        activation = _ACTIVATIONS[kind]
        self._answer = tf.function(
            lambda features: activation(
                tf.cast(model(features, training=False).logits, tf.float32)
            ),
            reduce_retracing=True,
        )

    def __call__(
        self,
        columns: Mapping[str, Sequence[Sequence[int]]],
        on_batch: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Answers in the order of the rows.

        Args:
            columns: `input_ids` and, for models that use them, `token_type_ids`.
            on_batch: Called with rows done and rows in all after each batch.

        Returns:
            float32 `[rows, labels]`; one column for regression.
        """
        columns = {name: list(values) for name, values in columns.items()}
        lengths = np.array([len(ids) for ids in columns["input_ids"]])
        order = np.argsort(lengths, kind="stable")
        parts = []
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            features = self._padded(columns, chosen, int(lengths[chosen].max()))
            parts.append(self._answer(features).numpy())
            if on_batch is not None:
                on_batch(start + len(chosen), len(order))
        answers = np.concatenate(parts)
        return answers[np.argsort(order, kind="stable")]

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
