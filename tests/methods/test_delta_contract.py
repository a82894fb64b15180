"""What every method that adds layers keeps, on every kind of model."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.merge import merge_delta, remove_delta
from kerastune_llm.methods.method import DeltaMethod, method_fields
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.models.delta_layers import delta_layers
from kerastune_llm.models.generation import Generator
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.loading import load_model
from kerastune_llm.models.surgery import set_trainable
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.registry import METHODS
from kerastune_llm.training.step import compile_model
from tests.tiny_models import spread, tiny, tiny_batch, train_steps, values

DELTAS = [n for n in METHODS.names() if issubclass(METHODS.get(n), DeltaMethod)]
# Those that are part of the input from the start, whatever their values.
SEEN_AT_ONCE = ("prefix", "prompt")
# Refused with a reason, which test_prefix.py proves.
WITHOUT_PLACE = (("deberta-v2", "prefix"),)
# Those whose change a plain dense layer can hold.
MERGED = ("dora", "ia3", "lora")
TARGETED = [
    name
    for name in DELTAS
    if any(field.name == "target_modules" for field in method_fields(name))
]
MODELS = ("t5", "t5-untied", "bart", "bert", "distilbert")
OTHERS = ("albert", "mpnet", "deberta-v2", "roberta", "electra", "marian", "pegasus")

each_model = pytest.mark.parametrize("name", MODELS)
# Their layers are MODELS' with other names; ALBERT's blocks share one layer.
every_model = pytest.mark.parametrize(
    "name",
    [*MODELS, "albert"]
    + [pytest.param(n, marks=pytest.mark.long) for n in OTHERS if n != "albert"],
)
each_merged = pytest.mark.parametrize("method", MERGED)
each_method = pytest.mark.parametrize("method", DELTAS)


def wide(name: str) -> keras.Model:
    """A model whose output depends on its input."""
    return spread(tiny(name), 0.2)


def logits(model: keras.Model) -> np.ndarray:
    return model(tiny_batch(model)).logits.numpy()


def trained_of_base(model: keras.Model, method: str) -> set[str]:
    """What trains of the model's own: a classifier's head; for BitFit all vectors."""
    layout = layout_of(model)
    head = layout.head if layout.is_classifier else set()
    if method != "bitfit":
        return set(head)
    parameters = torch_parameters(model).items()
    own = layout.names - layout.fixed - layout.part("delta")
    return head | {n for n, p in parameters if n in own and len(p.shape) == 1}


def trained(name: str, method: str, **options: object) -> keras.Model:
    model = wide(name)
    apply_method(model, method, **options)
    train_steps(model)
    return model


def test_there_are_such_methods():
    expected = {"lora", "dora", "ia3", "adapter", "bitfit", "prefix", "prompt"}
    assert set(DELTAS) >= expected


@each_method
@every_model
def test_nothing_changes_until_it_trains(name, method):
    if (name, method) in WITHOUT_PLACE:
        pytest.skip(f"{method} has no place in {name}")
    model = wide(name)
    before, output = values(model), logits(model)
    kept = {id(variable) for variable in model.weights}
    twin = wide(name)
    set_trainable(twin, trained_of_base(twin, method))
    apply_method(model, method)
    if method not in SEEN_AT_ONCE:
        np.testing.assert_allclose(logits(model), output, atol=1e-6)
    after = values(model)
    assert all((after[n] == before[n]).all() for n in before)
    added = set(after) - set(before)
    assert added == layout_of(model).part("delta")
    order = [v.name.partition("/")[2] for v in twin.weights]
    own = [v.name.partition("/")[2] for v in model.weights if id(v) in kept]
    assert own == order


@each_method
@each_model
def test_exactly_the_change_and_the_head_train(name, method):
    model = wide(name)
    table = apply_method(model, method)
    before = values(model)
    expected = layout_of(model).part("delta") | trained_of_base(model, method)
    train_steps(model, steps=4)
    after = values(model)
    assert {n for n in before if (before[n] != after[n]).any()} == expected
    count = sum(after[n].size for n in expected)
    assert table.trainable == count
    rows = {row.part: row for row in table.rows}
    added = sum(after[n].size for n in layout_of(model).part("delta"))
    if added:
        assert rows["delta"].total == rows["delta"].trainable == added
    assert table.total == model.count_params()


WITHOUT_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@each_method
def test_plain_fit_trains_it(method):
    model = tiny("bert")
    apply_method(model, method)
    before = values(model)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(tiny_batch(model), epochs=3, verbose=0)
    moved = {n for n, value in values(model).items() if (value != before[n]).any()}
    assert moved == layout_of(model).part("delta") | trained_of_base(model, method)


@pytest.mark.slow
@each_method
def test_the_package_s_step_is_the_same_with_and_without_jit(method):
    trained_weights = []
    for jit in (False, True):
        model = spread(tiny("bert", **WITHOUT_DROPOUT), 0.2)
        keras.utils.set_random_seed(7)
        apply_method(model, method)
        compile_model(model, keras.optimizers.SGD(0.1), jit=jit)
        model.fit(tf.data.Dataset.from_tensors(tiny_batch(model)), epochs=2, verbose=0)
        trained_weights.append(values(model))
    plain, compiled = trained_weights
    before = values(spread(tiny("bert", **WITHOUT_DROPOUT), 0.2))
    moved = layout_of(model).part("delta") | trained_of_base(model, method)
    for name in moved:
        np.testing.assert_allclose(compiled[name], plain[name], atol=1e-5)
    assert all((plain[n] == before[n]).all() for n in before.keys() - moved)


@each_merged
@every_model
def test_merged_equals_unmerged_and_is_a_plain_model(name, method):
    model = trained(name, method)
    plain = tiny(name)
    output = logits(model)
    assert not np.allclose(output, logits(wide(name)), atol=1e-3)
    merge_delta(model)
    np.testing.assert_allclose(logits(model), output, atol=1e-5 * abs(output).max())
    assert torch_parameters(model).keys() == torch_parameters(plain).keys()
    trainable = {id(variable) for variable in model.trainable_variables}
    parameters = torch_parameters(model).items()
    layout = layout_of(plain)
    own = {name for name, p in parameters if id(p.variable) in trainable}
    assert own == layout.names - layout.fixed


@pytest.mark.parametrize("method", sorted({*DELTAS} - {*MERGED}))
def test_merging_is_refused_where_no_plain_model_computes_the_same(method):
    model = trained("t5", method)
    output, layers = logits(model), delta_layers(model)
    with pytest.raises(UserError, match="(?s)cannot be merged.*lora.*save_adapter"):
        merge_delta(model)
    assert delta_layers(model) == layers
    np.testing.assert_array_equal(logits(model), output)


@each_merged
@pytest.mark.parametrize("name", ["t5", "bert"])
def test_a_merged_model_is_saved_as_any_other(name, method, tmp_path):
    model = trained(name, method)
    with pytest.raises(UserError, match="merge_delta"):
        save_model(model, None, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    merge_delta(model)
    save_model(model, None, tmp_path / "model")
    np.testing.assert_array_equal(logits(load_model(tmp_path / "model")), logits(model))


@each_method
def test_removing_it_gives_the_old_output(method):
    model = wide("t5")
    output, before = logits(model), values(model)
    apply_method(model, method)
    train_steps(model)
    remove_delta(model)
    for name, parameter in torch_parameters(model).items():
        if name in trained_of_base(model, method):
            parameter.variable.assign(parameter.from_torch(before[name]))
    np.testing.assert_array_equal(logits(model), output)
    assert not delta_layers(model)
    with pytest.raises(UserError, match="no layers of a delta method"):
        remove_delta(model)


@pytest.mark.parametrize(
    ("name", "method"),
    [("t5", "lora")]
    + [
        pytest.param(name, method, marks=pytest.mark.long)
        for name in ("t5", "bart")
        for method in DELTAS
        if (name, method) != ("t5", "lora")
    ],
)
def test_compiled_generation_equals_eager(name, method):
    model = trained(name, method)
    ids = tiny_batch(model)["input_ids"].numpy()
    eager = model.generate(tf.constant(ids), max_new_tokens=6, num_beams=1)
    generator = Generator(model, max_new_tokens=6, batch_size=len(ids))
    generated = generator(ids.tolist())
    ends = model.config.eos_token_id
    for row, tokens in zip(eager.numpy().tolist(), generated, strict=True):
        row = row[1:]
        assert tokens == (row[: row.index(ends)] if ends in row else row)


@each_method
def test_a_second_method_is_refused(method):
    model = wide("t5")
    apply_method(model, method)
    before = [variable.name for variable in model.trainable_variables]
    for other in ("full", method):
        with pytest.raises(UserError, match="remove_delta"):
            apply_method(model, other)
    assert [variable.name for variable in model.trainable_variables] == before


BAD_TARGETS = [
    ({"target_modules": ("q", "vv")}, "vv matches no dense module.*Did you mean v"),
    ({"target_modules": r".*\.query"}, "matches no dense module of this t5"),
    ({"target_modules": ("shared",)}, "shared matches no dense module"),
    ({"target_modules": "q("}, "no regular expression"),
    ({"target_modules": ()}, "no target module"),
]
BAD_SAVED = [
    ({"modules_to_save": ("lm_head",)}, "lm_head matches no module"),
    ({"modules_to_save": ("shared",)}, "share one matrix"),
]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [(name, *case) for name in TARGETED for case in BAD_TARGETS]
    + [(name, *case) for name in DELTAS for case in BAD_SAVED],
)
def test_a_refusal_leaves_the_model_as_it_was(method, options, message):
    model = wide("t5")
    layers = [id(layer) for layer in model._flatten_layers()]
    weights = [id(variable) for variable in model.trainable_variables]
    with pytest.raises(UserError, match=message):
        apply_method(model, method, **options)
    assert [id(layer) for layer in model._flatten_layers()] == layers
    assert [id(variable) for variable in model.trainable_variables] == weights
