"""Prefix tuning: the attention it adds to, generation with a cache, PEFT's layout."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.peft_format import load_adapter, save_adapter
from kerastune_llm.methods.prefix import Prefix
from kerastune_llm.methods.prefix_form import read_prefix, write_prefix
from kerastune_llm.models.generation import Generator
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.prefix_attention import FAMILIES
from kerastune_llm.models.torch_layout import torch_parameters
from tests.tiny_models import spread, tiny, tiny_batch, train_steps

WIDTH, LAYERS = 16, 2


def prefixed(name: str, **options: object) -> keras.Model:
    model = spread(tiny(name), 0.2)
    apply_method(model, Prefix(**{"num_virtual_tokens": 3, **options}))
    return model


@pytest.mark.parametrize("name", ["t5", "bart", "bert", "distilbert"])
def test_count_is_pefts_formula(name):
    model = spread(tiny(name), 0.2)
    plain = apply_method(model, Prefix(num_virtual_tokens=7))
    added = {row.part: row.total for row in plain.rows}["delta"]
    assert added == 7 * LAYERS * 2 * WIDTH
    model = spread(tiny(name), 0.2)
    options = {"use_projection": True, "projection_width": 5}
    projected = apply_method(model, Prefix(num_virtual_tokens=7, **options))
    added = {row.part: row.total for row in projected.rows}["delta"]
    assert added == 7 * WIDTH + (WIDTH + 1) * 5 + (5 + 1) * LAYERS * 2 * WIDTH


def attention_call(family: str, states: np.ndarray, hidden: int) -> dict:
    """What a block gives its attention, the last `hidden` of the keys masked."""
    x = tf.constant(states)
    seen = tf.constant([1.0] * (x.shape[1] - hidden) + [0.0] * hidden)
    additive = tf.repeat((1 - seen[None, None, None]) * -1e9, 2, axis=0)
    if family == "distilbert":
        mask = tf.repeat(seen[None], 2, axis=0)
        return {"query": x, "key": x, "value": x, "mask": mask}
    if family == "bart":
        mask = tf.repeat(additive, x.shape[1], axis=2)
        return {"hidden_states": x, "attention_mask": mask}
    first = "input_tensor" if family == "albert" else "hidden_states"
    call = {first: x, "attention_mask": additive}
    if family == "bert":
        names = ("encoder_hidden_states", "encoder_attention_mask", "past_key_value")
        call |= dict.fromkeys(names)
    return call


@pytest.mark.parametrize("family", ["bart", "bert", "distilbert", "mpnet", "albert"])
def test_a_prefix_of_tokens_keys_and_values_is_attention_to_those_tokens(family):
    layers = prefixed(family)._flatten_layers()
    layer = next(one for one in layers if isinstance(one, FAMILIES[family][0]))
    states = np.random.default_rng(0).normal(size=(2, 8, WIDTH)).astype(np.float32)
    states[1, :3] = states[0, :3]
    base = layer.base_layer
    dense = {one.name: one for one in base._flatten_layers(include_self=False)}
    key, value = (
        next(dense[name] for name in names if name in dense)(states[:1, :3])[0]
        for names in (
            ("k", "k_proj", "key", "k_lin"),
            ("v", "v_proj", "value", "v_lin"),
        )
    )
    layer.prefix.assign(tf.concat([key, value], axis=-1))
    others = {} if family == "bart" else {"head_mask": None, "output_attentions": False}
    whole = base(**attention_call(family, states, 2), **others)[0]
    rest = layer(**attention_call(family, states[:, 3:], 2), **others)[0]
    np.testing.assert_allclose(rest, whole[:, 3:], atol=1e-5)


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("name", ["t5", "bart"])
def test_generation_is_the_same_with_and_without_a_cache_and_compiled(name, num_beams):
    model = prefixed(name)
    train_steps(model)
    ids = tiny_batch(model)["input_ids"]
    options = {"max_new_tokens": 6, "num_beams": num_beams}
    cached = model.generate(ids, use_cache=True, **options).numpy()
    uncached = model.generate(ids, use_cache=False, **options).numpy()
    np.testing.assert_array_equal(cached, uncached)
    compiled = Generator(model, batch_size=len(ids), **options)(ids.numpy().tolist())
    assert compiled == [until_end(row[1:], model) for row in cached.tolist()]


def until_end(row: list[int], model: keras.Model) -> list[int]:
    end = model.config.eos_token_id
    return row[: row.index(end)] if end in row else row


def test_greedy_generation_takes_the_likeliest_of_the_whole_s_logits():
    model = prefixed("t5")
    ids = tiny_batch(model)["input_ids"]
    generated = model.generate(ids, max_new_tokens=6, num_beams=1)
    whole = model(input_ids=ids, decoder_input_ids=generated[:, :-1]).logits
    likeliest = tf.argmax(whole, axis=-1).numpy().tolist()
    for row, expected in zip(generated.numpy().tolist(), likeliest, strict=True):
        tokens = until_end(row[1:], model)
        assert tokens == expected[: len(tokens)]


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_steps_with_a_cache_give_the_logits_of_the_whole(name):
    model = prefixed(name)
    ids = tiny_batch(model)["input_ids"]
    targets = tf.constant([[2, 9, 4, 30, 7]] * len(ids))
    whole = model(input_ids=ids, decoder_input_ids=targets).logits
    past = None
    for step in range(targets.shape[1]):
        output = model(
            input_ids=ids,
            decoder_input_ids=targets[:, step : step + 1],
            past_key_values=past,
            use_cache=True,
        )
        np.testing.assert_allclose(output.logits[:, 0], whole[:, step], atol=1e-5)
        past = output.past_key_values
        # The cache holds the tokens so far and no prefix.
        assert past[0][0].shape[2] == step + 1


@pytest.mark.parametrize("use_projection", [False, True])
@pytest.mark.parametrize("name", ["t5", "bart", "bert", "albert"])
def test_saved_and_loaded_it_gives_the_same(name, use_projection, tmp_path):
    model = prefixed(name, use_projection=use_projection)
    train_steps(model)
    save_adapter(model, tmp_path, base_model="")
    fresh = spread(tiny(name), 0.2)
    assert load_adapter(fresh, tmp_path) == Prefix(num_virtual_tokens=3)
    batch = tiny_batch(model)
    np.testing.assert_allclose(fresh(batch).logits, model(batch).logits, atol=1e-5)


def pefts_keys_and_values(matrix: np.ndarray, layers: int) -> list[np.ndarray]:
    """PEFT's `get_prompt` for an encoder-decoder, `[2, tokens, width]` a layer."""
    past = matrix.reshape(len(matrix), layers * 2, -1)
    past = np.concatenate([past, past], axis=1).transpose(1, 0, 2)
    return [past[start : start + 4][:2] for start in range(0, 4 * layers, 4)]


@pytest.mark.parametrize("count", [1, 2, 3, 6, 12])
def test_slots_are_those_that_peft_reads(count):
    random = np.random.default_rng(count)
    sites = [f"decoder.block.{n}.layer.0.SelfAttention" for n in range(count)]
    own = {f"{site}.prefix": random.normal(size=(5, 8)) for site in sites}
    (matrix,) = write_prefix(own, sites).values()
    layers = matrix.shape[1] // 8
    for site, pair in zip(sites, pefts_keys_and_values(matrix, layers), strict=False):
        np.testing.assert_array_equal(
            np.concatenate(list(pair), 1), own[f"{site}.prefix"]
        )
    # PEFT's own file, where an even number of layers share slots.
    theirs = random.normal(size=(5, count * 8))
    settings = {"num_layers": count, "num_transformer_submodules": 2}
    values = read_prefix({"prompt_embeddings": theirs}, sites, settings)
    for site, pair in zip(sites, pefts_keys_and_values(theirs, count), strict=True):
        expected = np.concatenate(list(pair), axis=1)
        np.testing.assert_array_equal(values[f"{site}.prefix"], expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layers": 1}, "another number of layers"),
        ({}, "another number of layers"),
        ({"num_layers": 2, "num_transformer_submodules": 1}, "PEFT itself cannot"),
    ],
)
def test_a_matrix_for_another_model_is_refused(settings, message):
    sites = [f"decoder.block.{n}.layer.0.SelfAttention" for n in range(2)]
    with pytest.raises(UserError, match=message):
        read_prefix({"prompt_embeddings": np.ones((5, 16))}, sites, settings)


@pytest.mark.parametrize("name", ["deberta-v2", "led", "gpt2"])
def test_a_model_without_a_place_for_it_is_refused(name):
    model = tiny(name)
    before = list(torch_parameters(model))
    with pytest.raises(UserError, match="(?s)no defined place in the attention.*lora"):
        apply_method(model, "prefix")
    assert list(torch_parameters(model)) == before
    assert not layout_of(model).part("delta")


@pytest.mark.parametrize(
    "options", [{"num_virtual_tokens": 0}, {"projection_width": 8}]
)
def test_unsuitable_hyper_parameters_are_refused(options):
    with pytest.raises(UserError, match=f"cannot have this {next(iter(options))}"):
        Prefix(**options)
