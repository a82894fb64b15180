"""Examples laid into few rows: all of them, whole, and within the limits."""

import datasets
import numpy as np
import pytest

from kerastune_llm.data.batching import padding_share, plan_batches
from kerastune_llm.data.packing import first_fit, pack
from kerastune_llm.data.pipeline import build_dataset
from kerastune_llm.errors import UserError
from tests.tiny_tokenizers import fast_tokenizer

TOKENIZER = fast_tokenizer()
RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.integers(1, 60, 50), RNG.integers(1, 9, 50)
SIZES, LIMITS = np.stack([INPUTS, TARGETS], axis=1), np.array([64, 16])


def tokens() -> datasets.Dataset:
    """Rows whose every id is the row's number and 1."""
    columns = {"input_ids": INPUTS, "labels": TARGETS}
    return datasets.Dataset.from_dict(
        {
            name: [[row + 1] * int(length) for row, length in enumerate(lengths)]
            for name, lengths in columns.items()
        }
    )


def build(**options):
    options = {"batch_size": 16, "batching": "pack", "seed": 3} | options
    return list(build_dataset(tokens(), tokenizer=TOKENIZER, **options))


@pytest.mark.parametrize("how", [first_fit, pack])
def test_every_example_once_and_no_row_too_long(how):
    rows = how(SIZES, LIMITS)
    assert sorted(np.concatenate(rows)) == list(range(len(SIZES)))
    assert all((SIZES[row].sum(axis=0) <= LIMITS).all() for row in rows)


def test_the_longest_go_first_into_the_first_row_with_room():
    # By hand: 7 | 5 4 | 3 would fit behind 7, were it not for the targets.
    sizes = np.array([[3, 2], [4, 1], [7, 2], [5, 1]])
    rows = first_fit(sizes, np.array([10, 3]))
    assert [row.tolist() for row in rows] == [[2], [3, 1], [0]]


def test_packed_batches_hold_the_examples_of_the_plan():
    plan = plan_batches(INPUTS, batch_size=16, seed=3, batching="pack")
    batches = build()
    assert len(batches) == len(plan) == 4
    assert len(batches[0]["input_ids"]) < len(plan[0])
    for rows, batch in zip(plan, batches, strict=True):
        ids, labels = batch["input_ids"].numpy(), batch["labels"].numpy()
        inputs, targets = (
            batch[f"{name}_segments"].numpy() for name in ("input", "target")
        )
        np.testing.assert_array_equal(batch["attention_mask"], inputs > 0)
        assert (ids[inputs == 0] == TOKENIZER.pad_token_id).all()
        assert (labels[targets == 0] == -100).all()
        found = []
        for row in range(len(ids)):
            for number in range(1, inputs[row].max() + 1):
                places = np.flatnonzero(inputs[row] == number)
                (example,) = set(ids[row, places] - 1)
                found.append(example)
                assert len(places) == np.ptp(places) + 1 == INPUTS[example]
                own = labels[row, targets[row] == number]
                assert own.tolist() == [example + 1] * TARGETS[example]
        assert sorted(found) == sorted(rows)


def test_packing_pads_less_than_rows_as_they_come():
    batches = build(max_input_tokens=240, max_target_tokens=64)
    cells = sum(int(np.prod(batch["input_ids"].shape)) for batch in batches)
    share = 1 - INPUTS.sum() / cells
    plan = plan_batches(INPUTS, batch_size=16, seed=3, batching="pad")
    assert share < 0.15 < 0.4 < padding_share(INPUTS, plan)


def test_resuming_gives_the_same_batches():
    whole, rest = build(steps=11), build(steps=11, first_step=6)
    assert len(rest) == 5
    for one, other in zip(whole[6:], rest, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_input_tokens": 20}, "longer than the fixed width 20"),
        ({"with_rows": True}, "cannot say which rows"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(UserError, match=message):
        build(**options)


def test_labels_that_are_classes_are_refused():
    rows = datasets.Dataset.from_dict({"input_ids": [[1, 2]], "labels": [0]})
    with pytest.raises(UserError, match="labels are texts"):
        build_dataset(rows, tokenizer=TOKENIZER, batch_size=1, batching="pack")
