"""Weights stored small: what is stored, and that graphs compute with just that."""

import json
from dataclasses import replace

import numpy as np
import pytest

from kerastune_llm.backend import tf
from kerastune_llm.models.generation import Generator
from kerastune_llm.serving.export import export_savedmodel
from kerastune_llm.serving.graph import ServedModel, Service
from kerastune_llm.serving.parity import Examples
from kerastune_llm.serving.small_weights import Smaller, SmallWeights, quantised
from kerastune_llm.tasks.task import get_task
from tests.tiny_models import spread, tiny
from tests.tiny_tokenizers import fast_tokenizer

IDS = tf.constant([[7, 9, 11, 2], [5, 6, 2, 0]])
MASK = tf.constant([[1, 1, 1, 1], [1, 1, 1, 0]])


def test_int8_errs_by_half_a_step_of_its_column_or_row():
    values = np.random.default_rng(0).normal(size=(30, 20))
    sizes = np.logspace(-3, 3, 20)
    sizes[3] = 0
    scaled = values * sizes
    for matrix in map(np.float32, (values, values.T, scaled, scaled.T)):
        whole, scale = quantised(matrix)
        assert whole.dtype == np.int8 and abs(whole).max() == 127
        assert (abs(whole * scale - matrix) <= scale * 0.5001).all()
    # The scale goes with the axis along which the sizes differ.
    assert quantised(np.float32(scaled))[1].shape == (1, 20)
    assert quantised(np.float32(scaled).T)[1].shape == (20, 1)


def test_float16_rounds_as_numpy_does_and_leaves_what_it_cannot_hold():
    variables = [tf.Variable([1.0001, -3e-8]), tf.Variable([70000.0]), tf.Variable([3])]
    weights = SmallWeights(variables, "float16")
    expected = np.float32(np.float16([1.0001, -3e-8]))
    np.testing.assert_array_equal(variables[0].numpy(), expected)
    assert variables[1].numpy()[0] == 70000
    assert (weights.float32_bytes, weights.stored_bytes) == (16, 12)
    assert {v.dtype for v in weights.variables} == {tf.float16, tf.float32, tf.int32}


@pytest.mark.parametrize(
    ("name", "form"), [("t5", "int8"), ("bart", "float16"), ("bert", "int8")]
)
def test_graphs_read_nothing_but_the_stored_weights(name, form):
    model, as_text = spread(tiny(name)), name != "bert"
    before = [variable.numpy() for variable in model.variables]
    weights = SmallWeights(model.variables, form)
    task = get_task("squad" if as_text else "cola")
    smaller = Smaller(weights, {}, {})
    service = Service(task, as_text, 16, max_new_tokens=5, smaller=smaller)
    if not as_text:
        service = replace(service, task=replace(task, labels=("a", "b", "c")))
    served = ServedModel(model, fast_tokenizer(with_types=False), service)
    function = served.signatures()["serving_default"]
    own = {id(variable.handle) for variable in weights.variables}
    read = {id(t) for t in function.captured_inputs if t.dtype == tf.resource}
    assert read and read <= own
    found = function(input_ids=IDS, attention_mask=MASK)
    # The rounded model in Python answers the same; the reads are its own again.
    for variable, value in zip(model.variables, before, strict=True):
        assert variable.read_value().shape == value.shape
    if not as_text:
        logits = model(IDS, attention_mask=MASK).logits
        expected = tf.nn.softmax(logits).numpy()
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
        return
    generated = Generator(model, max_new_tokens=5, jit=False).generate(IDS, MASK)
    ids = found["output_ids"].numpy()
    same = ids == generated[:, 1 : ids.shape[1] + 1].numpy()
    assert (same | (ids == -1)).all() and (ids != -1).any()


def test_an_export_with_small_weights_is_small_and_answers_as_the_rounded_model(
    tmp_path,
):
    tokenizer = fast_tokenizer(with_types=False)
    model = spread(tiny("bert", vocab_size=20_000))
    weights = SmallWeights(model.variables, "int8")
    ids = tokenizer(["dogs bark"])["input_ids"]
    values = tf.nn.softmax(model(tf.constant(ids)).logits).numpy()
    task = replace(get_task("cola"), labels=("a", "b", "c"))
    metrics = {"accuracy": 0.5}, {"accuracy": 0.25}
    service = Service(task, False, 16, smaller=Smaller(weights, *metrics))
    examples = Examples({"sentence": ["dogs bark"]}, ids, values=values)
    export_savedmodel(model, tokenizer, service, tmp_path, name="m", examples=examples)
    size = sum(f.stat().st_size for f in (tmp_path / "m/1/variables").iterdir())
    assert weights.stored_bytes < size < 1.2 * weights.stored_bytes
    assert weights.stored_bytes < 0.35 * weights.float32_bytes
    assert (tmp_path / "m/1/saved_model.pb").stat().st_size < 1_000_000
    facts = json.loads((tmp_path / "m/1/export.json").read_text())["weights"]
    assert facts["metrics"] == {
        "float32": {"accuracy": 0.5},
        "int8": {"accuracy": 0.25},
    }
    card = (tmp_path / "m/1/README.md").read_text()
    assert "stored as int8, 0.4 MB rather than 1.3 MB" in card
    assert "| accuracy | 0.5 | 0.25 |" in card
