"""Training on a frozen trunk's kept outputs is training without them, only shorter."""

from types import SimpleNamespace

import datasets
import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.data.pipeline import build_dataset
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.models.classification import Classifier
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.models.trunk import PREFIX, find_cut
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model, evaluate_loss
from kerastune_llm.training.trunk_cache import TrunkCache
from kerastune_llm.training.trunk_outputs import TrunkOutputs
from tests.tiny_models import VOCABULARY, spread, tiny

TOKENIZER = SimpleNamespace(pad_token_id=0, pad_token_type_id=0)
ROWS, BATCH, STEPS = 22, 4, 9
STILL = {
    "bert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "distilbert": {
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "seq_classif_dropout": 0.0,
    },
    "t5-untied": {"dropout_rate": 0.0},
}
CASES = {
    "bert-head": ("bert", "head", {}),
    "distilbert-head": ("distilbert", "head", {}),
    "t5-head": ("t5-untied", "head", {}),
    "bert-last-block": ("bert", "last_n", {"blocks": 1}),
    "t5-last-block": ("t5-untied", "last_n", {"blocks": 1}),
}


def rows_for(name: str) -> datasets.Dataset:
    rng = np.random.default_rng(0)

    def ids(longest: int) -> list[list[int]]:
        lengths = rng.integers(1, longest, ROWS)
        return [rng.integers(3, VOCABULARY - 1, n).tolist() for n in lengths]

    labels = ids(6) if name.startswith("t5") else rng.integers(0, 3, ROWS).tolist()
    return datasets.Dataset.from_dict({"input_ids": ids(12), "labels": labels})


def model_of(case: str) -> keras.Model:
    name, method, options = CASES[case]
    model = spread(tiny(name, **STILL[name]), 0.2)
    apply_method(model, method, **options)
    return model


def lengths_of(rows: datasets.Dataset, column: str) -> np.ndarray:
    return np.array([len(ids) for ids in rows[column]])


def filled_cache(model: keras.Model, rows: datasets.Dataset, **options) -> TrunkCache:
    trunk = TrunkOutputs(find_cut(model))
    lengths = lengths_of(rows, trunk.cut.length_column)
    cache = TrunkCache(trunk, lengths, **options)
    cache.fill(
        build_dataset(
            rows,
            tokenizer=TOKENIZER,
            batch_size=BATCH,
            shuffle=False,
            with_rows=True,
        )
    )
    return cache


def trained(model: keras.Model, rows: datasets.Dataset, cache: TrunkCache | None):
    batches = build_dataset(
        rows,
        tokenizer=TOKENIZER,
        batch_size=BATCH,
        steps=STEPS,
        seed=3,
        with_rows=cache is not None,
    )
    if cache is not None:
        batches = cache.add_to(batches)
    compile_model(model, build_optimizer("sgd", learning_rate=0.1))
    history = model.fit(batches, verbose=0).history
    values = {n: p.to_torch().copy() for n, p in torch_parameters(model).items()}
    return history["loss"], values


@pytest.mark.parametrize("case", CASES)
def test_losses_and_weights_are_those_of_the_whole_model(case):
    rows = rows_for(CASES[case][0])
    before = torch_parameters(model_of(case))
    expected_loss, expected = trained(model_of(case), rows, None)
    model = model_of(case)
    loss, found = trained(model, rows, filled_cache(model, rows))
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    moved = [n for n, p in before.items() if (p.to_torch() != expected[n]).any()]
    assert moved
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)


def test_a_pooled_head_keeps_one_vector_a_row():
    rows = rows_for("bert")
    cache = filled_cache(model_of("bert-head"), rows)
    assert list(cache.features) == ["pooler_output"]
    assert cache.size == ROWS * 16 * 4


def test_beyond_the_memory_limit_it_is_on_disk_with_the_same_values(tmp_path):
    rows = rows_for("distilbert")
    model = model_of("distilbert-head")
    inside = filled_cache(model, rows)
    outside = filled_cache(model, rows, memory_limit=0.0, folder=tmp_path)
    assert not list(tmp_path.iterdir())
    for name, feature in inside.features.items():
        assert isinstance(outside.features[name].values, np.memmap)
        np.testing.assert_array_equal(outside.features[name].values, feature.values)


@pytest.mark.parametrize("case", ["distilbert-head", "t5-head"])
@pytest.mark.parametrize("memory_limit", [2.0, 0.0])
def test_in_16_bits_it_takes_half_and_trains_nearly_the_same(case, memory_limit):
    rows, model = rows_for(CASES[case][0]), model_of(case)
    whole = filled_cache(model, rows)
    half = filled_cache(model, rows, precision="bfloat16", memory_limit=memory_limit)
    assert half.size * 2 == whole.size
    for name, feature in whole.features.items():
        kept = half.features[name].values.astype(np.float32)
        # Eight bits of a number, the last of them rounded.
        np.testing.assert_allclose(kept, feature.values, rtol=2**-8)
        assert (kept != feature.values).any()
    loss, _ = trained(model, rows, half)
    expected, _ = trained(model_of(case), rows, whole)
    np.testing.assert_allclose(loss, expected, rtol=1e-2)


def test_batches_have_the_rows_outputs_filled_up_with_zeros():
    rows = rows_for("distilbert")
    cache = filled_cache(model_of("distilbert-head"), rows)
    batches = build_dataset(
        rows.select([5, 0]), tokenizer=TOKENIZER, batch_size=2, shuffle=False
    )
    [batch] = cache.add_to(batches.map(lambda b: {**b, "rows": tf.constant([5, 0])}))
    values = batch[f"{PREFIX}last_hidden_state"].numpy()
    feature = cache.features["last_hidden_state"]
    for place, row in enumerate([5, 0]):
        length = len(rows["input_ids"][row])
        start = feature.starts[row]
        kept = feature.values[start : start + length]
        np.testing.assert_array_equal(values[place, :length], kept)
        assert not values[place, length:].any()
    assert "rows" not in batch


@pytest.mark.parametrize("case", ["bert-head", "t5-head", "bert-last-block"])
def test_scoring_with_it_is_scoring_without(case):
    rows, model = rows_for(case), model_of(case)
    cache = filled_cache(model, rows)
    options = {"tokenizer": TOKENIZER, "batch_size": BATCH, "shuffle": False}
    plain = build_dataset(rows, **options)
    numbered = build_dataset(rows, **options, with_rows=True)
    assert evaluate_loss(model, cache.add_to(numbered)) == pytest.approx(
        evaluate_loss(model, plain), rel=1e-6
    )
    if case.startswith("bert"):
        answer = Classifier(model)
        kept = answer(cache.add_to(numbered, with_rows=True), rows=ROWS)
        np.testing.assert_allclose(kept, answer(numbered, rows=ROWS), atol=1e-6)


def test_rows_of_training_and_validation_go_through_one_graph():
    model, rows = model_of("bert-head"), rows_for("bert")
    trunk = TrunkOutputs(find_cut(model))
    batches = [
        build_dataset(part, tokenizer=TOKENIZER, batch_size=BATCH, with_rows=True)
        for part in (rows, rows.select(range(5)))
    ]
    first, second = (trunk.function(each.element_spec) for each in batches)
    assert first is second
