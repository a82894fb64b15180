"""The plan of batches: every row once an epoch, and resume without history."""

import numpy as np
import pytest

from kerastune_llm.data.batching import (
    BATCHINGS,
    count_steps,
    padding_share,
    plan_batches,
)
from kerastune_llm.errors import UserError

LENGTHS = np.random.default_rng(0).integers(1, 200, 1003)
COMPLETE = ("bucket", "pad", "pack")


def plan(**options):
    return plan_batches(LENGTHS, **({"batch_size": 8} | options))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batching", COMPLETE)
def test_every_row_once_in_every_epoch(batching, shuffle):
    per_epoch = count_steps(len(LENGTHS), batch_size=8)
    steps = plan(batching=batching, shuffle=shuffle, steps=3 * per_epoch)
    for epoch in range(3):
        part = steps[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(np.concatenate(part)) == list(range(len(LENGTHS)))
        assert sorted(map(len, part)) == [3] + [8] * (per_epoch - 1)


@pytest.mark.parametrize("batching", BATCHINGS)
def test_a_longer_plan_begins_with_the_shorter_one(batching):
    long, short = plan(batching=batching, steps=400), plan(batching=batching, steps=130)
    assert len(long) == 400 and len(short) == 130
    for one, other in zip(long, short, strict=False):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("batching", BATCHINGS)
def test_seed_and_epoch_change_the_order(batching):
    per_epoch = count_steps(len(LENGTHS), batch_size=8)
    one, other = plan(batching=batching), plan(batching=batching, seed=1)
    assert not all(map(np.array_equal, one, other))
    both = plan(batching=batching, steps=2 * per_epoch)
    assert not all(map(np.array_equal, both[:per_epoch], both[per_epoch:]))


def test_in_order_without_shuffling():
    assert np.concatenate(plan(batching="pad", shuffle=False)).tolist() == list(
        range(len(LENGTHS))
    )
    by_length = LENGTHS[np.concatenate(plan(batching="bucket", shuffle=False))]
    assert (np.diff(by_length) >= 0).all()


def test_fixed_batches_have_one_size_and_miss_no_row():
    steps = plan(batching="fixed")
    assert {len(rows) for rows in steps} == {8}
    counts = np.bincount(np.concatenate(steps), minlength=len(LENGTHS))
    # 126 * 8 = 1003 + 5: five rows stand in for the missing ones.
    assert counts.min() == 1 and (counts == 2).sum() == 5
    few = plan_batches(np.array([3, 4]), batch_size=5, batching="fixed")
    assert [len(rows) for rows in few] == [5]


def test_buckets_pad_less_and_are_not_sorted():
    bucket, pad = plan(batching="bucket"), plan(batching="pad")
    assert padding_share(LENGTHS, bucket) < 0.1 < 0.3 < padding_share(LENGTHS, pad)
    means = np.array([LENGTHS[rows].mean() for rows in bucket])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_padding_share_counts_the_cells():
    rows = [np.array([0, 1]), np.array([2])]
    # 3 + 5 + 2 tokens in 2 * 5 + 1 * 2 cells, and in 2 * 8 + 1 * 8.
    lengths = np.array([3, 5, 2])
    assert padding_share(lengths, rows) == pytest.approx(1 - 10 / 12)
    assert padding_share(lengths, rows, 8) == pytest.approx(1 - 10 / 24)


@pytest.mark.parametrize("num_rows", [1, 7, 8, 9])
def test_count_steps(num_rows):
    steps = plan_batches(np.ones(num_rows), batch_size=8)
    assert len(steps) == count_steps(num_rows, batch_size=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch size must be positive"),
        ({"batching": "sorted"}, "Accepted: bucket, pad, fixed, pack"),
        ({"lengths": np.array([])}, "no rows"),
    ],
)
def test_refusals(options, message):
    options = {"lengths": LENGTHS, "batch_size": 8} | options
    with pytest.raises(UserError, match=message):
        plan_batches(options.pop("lengths"), **options)
