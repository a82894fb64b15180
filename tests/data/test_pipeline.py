"""Batches through `to_tf_dataset`: shapes, padding, order, and Keras `fit`."""

import random

import datasets
import numpy as np
import pytest

from kerastune_llm.backend import keras, tf, transformers
from kerastune_llm.data.batching import plan_batches, round_up, width_multiple
from kerastune_llm.data.pipeline import build_dataset, describe_batches
from kerastune_llm.errors import UserError
from tests.tiny_tokenizers import fast_tokenizer

TOKENIZER = fast_tokenizer()
LIST = datasets.List(datasets.Value("int32"))


def tokens(rows, *, lengths=(1, 20), labels="text", seed=0):
    """Token columns with a row's number as every id of it."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(lengths[0], lengths[1] + 1, rows)
    columns = {
        "input_ids": [[row + 1] * int(size) for row, size in enumerate(sizes)],
        "token_type_ids": [[1] * int(size) for size in sizes],
    }
    features = {"input_ids": LIST, "token_type_ids": LIST}
    if labels == "text":
        columns["labels"] = [[row + 1] * (1 + row % 3) for row in range(rows)]
        features["labels"] = LIST
    elif labels is not None:
        columns["labels"] = [row % 2 for row in range(rows)]
        features["labels"] = datasets.Value(labels)
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def build(tokenised, **options):
    return build_dataset(
        tokenised, tokenizer=TOKENIZER, **({"batch_size": 4} | options)
    )


def pad(lists, value):
    width = max(map(len, lists))
    return np.array([[*row, *[value] * (width - len(row))] for row in lists])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batching", ["bucket", "pad"])
def test_batches_are_the_planned_rows_padded(batching, shuffle):
    tokenised = tokens(23)
    inputs, labels = tokenised["input_ids"][:], tokenised["labels"][:]
    lengths = np.array([len(ids) for ids in inputs])
    options = {"batching": batching, "shuffle": shuffle, "seed": 5}
    plan = plan_batches(lengths, batch_size=4, steps=12, **options)
    batches = list(build(tokenised, epochs=2, **options))
    assert len(batches) == 12
    for rows, batch in zip(plan, batches, strict=True):
        chosen = [inputs[row] for row in rows]
        expected = {
            "input_ids": pad(chosen, TOKENIZER.pad_token_id),
            "attention_mask": pad([[1] * len(ids) for ids in chosen], 0),
            "token_type_ids": pad([[1] * len(ids) for ids in chosen], 0),
            "labels": pad([labels[row] for row in rows], -100),
        }
        assert batch.keys() == expected.keys()
        for name, value in expected.items():
            assert batch[name].dtype == tf.int32
            np.testing.assert_array_equal(batch[name], value)


@pytest.mark.parametrize(
    ("rows", "lengths"), [(23, (1, 20)), (23, (7, 7)), (1, (5, 5)), (4, (5, 5))]
)
def test_shapes_stay_open(rows, lengths):
    """Also where all rows have one length, which looks static to datasets."""
    tokenised = tokens(rows, lengths=lengths)
    batches = build(tokenised)
    for name in ("input_ids", "attention_mask", "token_type_ids", "labels"):
        assert batches.element_spec[name].shape.as_list() == [None, None]
        assert batches.element_spec[name].dtype == tf.int32
    assert sum(int(batch["input_ids"].shape[0]) for batch in batches) == rows


@pytest.mark.parametrize(
    ("dtype", "tf_dtype"), [("int32", tf.int32), ("float32", tf.float32)]
)
def test_labels_that_are_numbers(dtype, tf_dtype):
    batches = build(tokens(10, labels=dtype), batching="pad", shuffle=False)
    assert batches.element_spec["labels"] == tf.TensorSpec([None], tf_dtype)
    labels = np.concatenate([batch["labels"] for batch in batches])
    assert labels.tolist() == [row % 2 for row in range(10)]


def test_without_labels():
    assert "labels" not in build(tokens(3, labels=None)).element_spec


def test_number_of_batches_is_known():
    assert len(build(tokens(10))) == 3
    assert len(build(tokens(10), epochs=4)) == 12
    assert len(build(tokens(10), steps=7)) == 7


@pytest.mark.parametrize("batching", ["bucket", "pad", "fixed"])
def test_resuming_gives_the_same_batches(batching):
    whole = list(build(tokens(23), steps=15, batching=batching))
    rest = list(build(tokens(23), steps=15, first_step=8, batching=batching))
    assert len(rest) == 7
    for one, other in zip(whole[8:], rest, strict=True):
        np.testing.assert_array_equal(one["input_ids"], other["input_ids"])


def test_fixed_shapes_are_static():
    batches = build(
        tokens(10), batching="fixed", max_input_tokens=24, max_target_tokens=6
    )
    assert batches.element_spec["input_ids"].shape == (4, 24)
    assert batches.element_spec["attention_mask"].shape == (4, 24)
    assert batches.element_spec["labels"].shape == (4, 6)
    assert [batch["input_ids"].shape for batch in batches] == [(4, 24)] * 3
    numbers = build(tokens(10, labels="int32"), batching="fixed")
    assert numbers.element_spec["labels"].shape == (4,)
    longest = max(len(ids) for ids in tokens(10)["input_ids"])
    assert numbers.element_spec["input_ids"].shape == (4, longest)


def test_rows_that_fill_up_a_fixed_batch_are_told():
    options = {"batching": "fixed", "with_counted": True, "with_rows": True}
    batches = list(build(tokens(10), steps=7, **options))
    assert [batch["counted"].numpy().tolist() for batch in batches[:4]] == [
        [1, 1, 1, 1],
        [1, 1, 1, 1],
        [1, 1, 0, 0],
        [1, 1, 1, 1],
    ]
    # An epoch's rows count once each.
    rows = [b["rows"].numpy()[b["counted"].numpy() > 0] for b in batches[:6]]
    assert sorted(np.concatenate(rows[:3])) == list(range(10))
    assert sorted(np.concatenate(rows[3:])) == list(range(10))
    (rest, *_) = build(tokens(10), steps=7, first_step=5, **options)
    np.testing.assert_array_equal(rest["counted"], batches[5]["counted"])
    assert rest["counted"].numpy().tolist() == [1, 1, 0, 0]
    assert rest["counted"].shape == (4,)


def test_widths_are_multiples():
    widths = {
        batch["input_ids"].shape[1] for batch in build(tokens(40), pad_to_multiple_of=8)
    }
    assert widths <= {8, 16, 24} and len(widths) > 1


def test_selected_rows_are_the_selected_ones():
    tokenised = tokens(23).select([7, 3, 19])
    (batch,) = build(tokenised, batching="pad", shuffle=False)
    assert batch["input_ids"][:, 0].numpy().tolist() == [8, 4, 20]


def test_many_chunks_of_arrow():
    parts = [tokens(5, seed=n) for n in range(3)]
    joined = datasets.concatenate_datasets(parts)
    batches = build(joined, batching="pad", shuffle=False, batch_size=15)
    expected = [ids for part in parts for ids in part["input_ids"][:]]
    (batch,) = batches
    np.testing.assert_array_equal(batch["input_ids"], pad(expected, 0))


def test_the_users_random_numbers_stay():
    random.seed(3)
    expected = random.random()
    random.seed(3)
    build(tokens(10))
    assert random.random() == expected


def test_no_iterator_waits_for_a_tuner_at_its_end():
    batches = build(tokens(12)).repeat().map(lambda batch: batch)
    assert batches.options().autotune.enabled is False


def test_plain_fit():
    config = transformers.BertConfig(
        vocab_size=64,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        num_labels=2,
    )
    model = transformers.TFBertForSequenceClassification(config)
    model.compile(keras.optimizers.Adam(0.03), loss=model.hf_compute_loss)
    batches = build(tokens(12, labels="int32"), epochs=8)
    history = model.fit(batches, epochs=8, steps_per_epoch=3, verbose=0)
    losses = history.history["loss"]
    assert len(losses) == 8 and losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_step": 3}, "no steps left"),
        ({"batch_size": 0}, "batch size must be positive"),
        ({"batching": "fixed", "max_input_tokens": 5}, "longer than the fixed width"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(UserError, match=message):
        build(tokens(10), **options)


def test_no_rows():
    with pytest.raises(UserError, match="no rows"):
        build(tokens(10).select([]))


@pytest.mark.parametrize("batching", ["bucket", "pad", "fixed", "pack"])
@pytest.mark.parametrize("multiple", [1, 4])
def test_batches_are_described_as_they_are_made(batching, multiple):
    tokenised = tokens(70)
    options = {
        "tokenizer": TOKENIZER,
        "batch_size": 3,
        "seed": 7,
        "batching": batching,
        "max_input_tokens": 20,
        "max_target_tokens": 4,
        "pad_to_multiple_of": multiple,
    }
    batches = list(build_dataset(tokenised, **options))
    report = describe_batches(tokenised, **options)
    shapes = [(*b["input_ids"].shape, b["labels"].shape[1]) for b in batches]
    # More steps than are fetched at a time.
    assert report.steps == len(batches) == 24
    assert report.shapes == len(set(shapes))
    assert report.cells == sum(rows * (n + m) for rows, n, m in shapes)
    masks = (b.get("attention_mask") for b in batches)
    kept = sum(int(tf.reduce_sum(mask)) for mask in masks)
    kept += sum(int(tf.math.count_nonzero(b["labels"] != -100)) for b in batches)
    assert report.tokens == kept
    assert report.padding == pytest.approx(1 - kept / report.cells)


def test_widths_under_xla_are_few():
    for longest in (1, 47, 128, 384, 1024):
        multiple = width_multiple(longest)
        assert len({round_up(n, multiple) for n in range(1, longest + 1)}) <= 12
