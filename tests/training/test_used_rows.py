"""Embeddings of which the rows that texts read are updated alone."""

import datasets
import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.registry import OPTIMIZERS
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model, loss_sum
from kerastune_llm.training.used_rows import special_ids, token_matrix, used_rows
from tests.tiny_models import VOCABULARY, tiny, tiny_batch
from tests.training.steps import dataset

STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
ELEMENTWISE = [n for n in OPTIMIZERS.names() if OPTIMIZERS.get(n).is_elementwise]


@pytest.mark.parametrize(
    "name",
    [
        "bert",
        "distilbert",
        "electra",
        "mpnet",
        "roberta",
        "xlm-roberta",
        "t5-untied",
    ],
)
def test_a_token_matrix_has_gradients_of_the_batch_s_rows_alone(name):
    model = tiny(name)
    matrix, batch = token_matrix(model), tiny_batch(model)
    assert tuple(matrix.shape)[0] == VOCABULARY
    with tf.GradientTape() as tape:
        loss, _ = loss_sum(model, batch, training=False)
    gradient = tape.gradient(loss, matrix)
    assert isinstance(gradient, tf.IndexedSlices)
    ids = {int(i) for i in np.unique(batch["input_ids"])} | special_ids(model)
    if name == "t5-untied":
        ids |= {int(i) for i in np.unique(batch["labels"])}
    assert set(gradient.indices.numpy().tolist()) <= ids


def test_a_matrix_that_scores_tokens_or_does_not_train_is_none():
    assert token_matrix(tiny("t5")) is None
    assert token_matrix(tiny("bart")) is None
    frozen = tiny("bert")
    apply_method(frozen, "head")
    assert token_matrix(frozen) is None


def trained(rows: np.ndarray | None, name: str = "adamw", **options) -> keras.Model:
    model = tiny("bert", num_hidden_layers=1, **STILL)
    parts = options.pop("parts", 1)
    optimizer = build_optimizer(name, learning_rate=0.01, clip_norm=0.5, **options)
    if rows is not None:
        optimizer.use_rows(token_matrix(model), rows)
    compile_model(model, optimizer, accumulate_steps=parts)
    batches = [tiny_batch(model, rows=4, seed=seed) for seed in range(5)]
    model.fit(dataset(*batches), verbose=0)
    return model


# Of no batch of `tiny_batch`: 0, 1 and 63; 2 is the end mark of some models.
ROWS = np.arange(2, VOCABULARY - 1, dtype=np.int32)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_weights_are_those_of_updating_all_rows(name, parts):
    start = tiny("bert", num_hidden_layers=1, **STILL)
    whole, own = trained(None, name, parts=parts), trained(ROWS, name, parts=parts)
    for one, other in zip(own.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    matrix = token_matrix(own)
    assert own.optimizer.slots_of(matrix)["mean"].shape == [len(ROWS), 16]
    moved = np.abs(matrix.numpy() - token_matrix(start).numpy()).max(axis=1) > 1e-4
    assert moved.any() and not moved[[0, 1, VOCABULARY - 1]].any()


@pytest.mark.parametrize(
    ("name", "options"),
    [("adamw", {"weight_decay": 0.1}), ("lamb", {}), ("adafactor", {})],
)
def test_all_rows_are_updated_where_others_move_too(name, options):
    model = trained(ROWS, name, **options)
    slots = model.optimizer.slots_of(token_matrix(model))
    assert all(slot.shape[0] in (VOCABULARY, 16) for slot in slots.values())


def test_a_batch_with_another_id_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="that the training rows"):
        trained(np.arange(2, 30, dtype=np.int32))


def test_rows_are_those_of_inputs_targets_and_marks():
    rows = datasets.Dataset.from_dict(
        {"input_ids": [[5, 7], [9]], "labels": [[11, -100], [5, 1]]}
    )
    found = used_rows(rows, special={0, 2}, rows=64)
    assert found.tolist() == [0, 1, 2, 5, 7, 9, 11]
    assert found.dtype == np.int32
    assert used_rows(rows, special={0, 2, 64}, rows=64).tolist() == found.tolist()
    assert used_rows(rows, special={0, 2}, rows=12).tolist() == found.tolist()
    assert used_rows(rows.select([0]), special=set(range(12)), rows=13) is None


@pytest.mark.parametrize("label", [7, 0.5, [0.0, 1.0]])
def test_a_label_is_no_id(label):
    rows = datasets.Dataset.from_dict({"input_ids": [[5]], "labels": [label]})
    assert used_rows(rows, special=set(), rows=64).tolist() == [5]
