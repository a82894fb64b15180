"""What a head answers: logits of rows in one graph, and what they mean."""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.replicas import where_weights_are
from kerastune_llm.models.trunk import call_model

HeadKind = Literal["classification", "multilabel", "regression"]

_NO_INPUTS = ("rows", "counted", "labels")
_ACTIVATIONS = {
    "classification": tf.nn.softmax,
    "multilabel": tf.nn.sigmoid,
    "regression": tf.identity,
}


class Classifier:
    """Logits of a sequence classification model for the rows of a dataset.

    It is traced once for all lengths; later changes of the weights are seen.

    Args:
        model: The model.
    """

    def __init__(self, model: keras.Model) -> None:
        def logits(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
            outputs = call_model(model, batch, training=False)
            return tf.cast(outputs.logits, tf.float32)

        strategy = model.distribute_strategy
        self._logits = tf.function(where_weights_are(strategy, logits), autograph=False)

    def __call__(
        self,
        batches: tf.data.Dataset,
        *,
        rows: int,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Logits in the order of the rows.

        Args:
            batches: Each row in one of them, as `build_dataset` makes them `with_rows`;
                rows that only fill one up, as `counted` says, are left out.
            rows: How many there are.
            on_batch: Called with rows done and rows in all after each batch.

        Returns:
            float32 `[rows, labels]`; one column for regression.
        """
        function = self._logits.get_concrete_function(_inputs(batches.element_spec))
        places, parts = [], []
        for batch in batches:
            logits, own = function(_inputs(batch)).numpy(), batch["rows"].numpy()
            counted = batch.get("counted", tf.ones_like(own)).numpy() > 0
            places.append(own[counted])
            parts.append(logits[counted])
            if on_batch is not None:
                on_batch(sum(map(len, places)), rows)
        logits = np.concatenate(parts)
        return logits[np.argsort(np.concatenate(places))]


def activated(kind: HeadKind, logits: np.ndarray) -> np.ndarray:
    """What logits `[rows, labels]` stand for.

    Args:
        kind: `"classification"`: the probabilities of the labels, which sum to one;
            `"multilabel"`: of each label apart; `"regression"`: the numbers themselves.
        logits: float32 `[rows, labels]`.
    """
    return _ACTIVATIONS[kind](logits).numpy()


def _inputs(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: value for name, value in batch.items() if name not in _NO_INPUTS}
