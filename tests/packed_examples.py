"""Five examples as a padded batch, and packed by hand into two rows."""

import numpy as np

from kerastune_llm.backend import tf
from tests.tiny_models import VOCABULARY

RNG = np.random.default_rng(0)
INPUTS = [RNG.integers(3, VOCABULARY, length) for length in (5, 9, 2, 7, 1)]
TARGETS = [RNG.integers(3, VOCABULARY, length) for length in (3, 1, 6, 2, 4)]
# Which examples make up a row; the second one is the longest of inputs and targets.
ROWS = [(2, 0), (1, 4, 3)]


def filled(lists, value) -> tf.Tensor:
    width = max(map(len, lists))
    rows = [[*row, *[value] * (width - len(row))] for row in lists]
    return tf.constant(rows, tf.int32)


def padded() -> dict[str, tf.Tensor]:
    return {
        "input_ids": filled(INPUTS, 0),
        "attention_mask": filled([[1] * len(ids) for ids in INPUTS], 0),
        "labels": filled(TARGETS, -100),
    }


def packed() -> dict[str, tf.Tensor]:
    def joined(lists):
        return [np.concatenate([lists[example] for example in row]) for row in ROWS]

    def numbers(lists):
        return [
            np.repeat(np.arange(1, len(row) + 1), [len(lists[x]) for x in row])
            for row in ROWS
        ]

    return {
        "input_ids": filled(joined(INPUTS), 0),
        "attention_mask": filled([np.ones_like(x) for x in joined(INPUTS)], 0),
        "input_segments": filled(numbers(INPUTS), 0),
        "labels": filled(joined(TARGETS), -100),
        "target_segments": filled(numbers(TARGETS), 0),
    }
