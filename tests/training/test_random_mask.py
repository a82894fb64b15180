"""Masks for dropout: their rate, their independence, and the gradient through them."""

import itertools

import numpy as np
import pytest

from kerastune_llm.backend import tf
from kerastune_llm.training.random_mask import dropped, keep_mask

SIZE = 400_000


def words(*numbers: int) -> tf.Tensor:
    """Random words that these numbers decide."""
    drawn = np.random.default_rng(numbers).integers(2**32, size=3, dtype=np.uint32)
    return tf.constant(drawn)


def kept(rate: float, *numbers: int, size: int = SIZE) -> np.ndarray:
    return keep_mask(tf.constant([size]), rate, words=words(*numbers)).numpy()


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.25, 0.5, 0.9])
def test_the_rate_is_kept(rate):
    dropped_share = 1 - kept(rate, 1).mean()
    deviation = np.sqrt(rate * (1 - rate) / SIZE)
    assert abs(dropped_share - rate) < 4 * deviation


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return abs(np.corrcoef(one, other)[0, 1])


def test_places_calls_and_steps_are_independent():
    # The correlation of independent masks has a standard deviation of 1 / sqrt(size).
    limit = 4.5 / np.sqrt(SIZE)
    mask = kept(0.1, 1, 1)
    for distance in (1, 2, 3, 64, 384, 512, 1024):
        assert correlation(mask[:-distance], mask[distance:]) < limit
    for numbers in ((1, 2), (2, 1), (1, 3), (3, 1), (1, 1, 1)):
        other = kept(0.1, *numbers)
        for distance in (0, 1, 2, 384):
            assert correlation(mask[: SIZE - distance], other[distance:]) < limit


def test_masks_of_unrelated_words_agree_by_chance():
    masks = [kept(0.5, 7, number, size=40_000) for number in range(12)]
    for one, other in itertools.combinations(masks, 2):
        # Standard deviation of the share that agrees: 0.0025.
        assert (one == other).mean() == pytest.approx(0.5, abs=0.0115)


def test_runs_of_kept_and_dropped_have_their_lengths():
    mask = kept(0.5, 4)
    changes = np.flatnonzero(mask[1:] != mask[:-1])
    lengths = np.diff(changes)
    for length in (1, 2, 3, 4):
        assert np.mean(lengths == length) == pytest.approx(0.5**length, abs=0.005)


def test_a_size_left_open_has_the_same_mask_as_a_known_one():
    graph = tf.function(
        lambda values: dropped(values, 0.3, words=words(1, 2)),
        input_signature=[tf.TensorSpec([None, None], tf.float32)],
    )
    for shape in ([3, 5], [64, 300], [1, 1], [0, 4]):
        values = tf.ones(shape)
        known = dropped(values, 0.3, words=words(1, 2))
        np.testing.assert_array_equal(graph(values), known)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16, tf.float16])
def test_values_and_gradient_are_scaled_where_kept(dtype):
    values = tf.constant(np.random.default_rng(0).normal(size=[50, 20]), dtype)
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = dropped(values, 0.2, words=words(0))
    gradient = tape.gradient(outputs, values)
    keep = keep_mask(tf.constant([50, 20]), 0.2, words=words(0))
    wanted = tf.where(keep, tf.cast(1 / 0.8, dtype), tf.zeros([], dtype))
    assert outputs.dtype == gradient.dtype == dtype
    np.testing.assert_array_equal(gradient, tf.broadcast_to(wanted, [50, 20]))
    tolerance = 1e-6 if dtype == tf.float32 else 1e-2
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float32),
        tf.cast(tf.where(keep, values / 0.8, 0), tf.float32),
        rtol=tolerance,
    )


def test_a_mask_can_be_shared_along_an_axis():
    outputs = dropped(
        tf.ones([40, 6]), 0.5, words=words(2), noise_shape=tf.constant([40, 1])
    )
    assert (outputs.numpy() == outputs.numpy()[:, :1]).all()
    assert set(np.unique(outputs)) == {0.0, 2.0}
