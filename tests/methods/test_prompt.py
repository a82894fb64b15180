"""Prompt tuning: vectors equal to embedded tokens are those tokens."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.peft_format import load_adapter, save_adapter
from kerastune_llm.methods.prompt import Prompt
from kerastune_llm.models.generation import Generator
from kerastune_llm.models.torch_layout import torch_parameters
from tests.tiny_models import spread, tiny, tiny_batch, train_steps

TOKENS = (5, 9, 7, 33)
SEQ2SEQ = ("t5", "t5-untied", "bart", "mbart", "pegasus", "marian")
CLASSIFIERS = ("bert", "distilbert", "roberta", "electra", "albert", "mpnet")


def prompted(name: str, **options: object) -> keras.Model:
    model = spread(tiny(name), 0.2)
    apply_method(model, Prompt(**{"num_virtual_tokens": 4, **options}))
    return model


def with_tokens(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The batch with TOKENS before every input."""
    rows = len(batch["input_ids"])
    longer = {
        "input_ids": tf.repeat(tf.constant([TOKENS]), rows, axis=0),
        "attention_mask": tf.ones((rows, len(TOKENS)), tf.int32),
    }
    joined = {n: tf.concat([v, batch[n]], axis=1) for n, v in longer.items()}
    return {**batch, **joined}


def padded(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The batch with its first row's last three tokens masked."""
    mask = batch["attention_mask"].numpy()
    mask[0, -3:] = 0
    return {**batch, "attention_mask": tf.constant(mask)}


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CLASSIFIERS, "deberta-v2"])
def test_a_prompt_of_embedded_tokens_is_those_tokens(name):
    plain, model = spread(tiny(name), 0.2), prompted(name, initial_tokens=TOKENS)
    batch = padded(tiny_batch(model))
    expected = plain(with_tokens(batch)).logits
    np.testing.assert_allclose(model(batch).logits, expected, atol=1e-5)


@pytest.fixture
def bfloat16():
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy(before)


@pytest.mark.parametrize("name", ["t5", "bart", "bert"])
def test_it_computes_in_bfloat16_as_the_model_does(bfloat16, name):
    plain, model = spread(tiny(name), 0.2), prompted(name, initial_tokens=TOKENS)
    batch = tiny_batch(model)
    expected = tf.cast(plain(with_tokens(batch)).logits, tf.float32)
    own = tf.cast(model(batch).logits, tf.float32)
    np.testing.assert_allclose(own, expected, atol=0.02 * abs(expected).numpy().max())


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("name", ["t5", "bart"])
def test_generation_is_that_of_the_tokens_and_compiled_the_same(name, num_beams):
    plain, model = spread(tiny(name), 0.2), prompted(name, initial_tokens=TOKENS)
    options = {"max_new_tokens": 6, "num_beams": num_beams}
    batch = padded(tiny_batch(model))
    longer = with_tokens(batch)
    names = ("input_ids", "attention_mask")
    expected = plain.generate(**{n: longer[n] for n in names}, **options).numpy()
    own = model.generate(**{n: batch[n] for n in names}, **options).numpy()
    np.testing.assert_array_equal(own, expected)
    ids = tiny_batch(model)["input_ids"].numpy().tolist()
    compiled = Generator(model, batch_size=len(ids), **options)(ids)
    longer_ids = [[*TOKENS, *row] for row in ids]
    assert compiled == Generator(plain, batch_size=len(ids), **options)(longer_ids)


@pytest.mark.parametrize("name", ["t5", "bart", "bert", "electra"])
def test_count_is_length_times_the_width_of_embeddings(name):
    model = tiny(name)
    table = apply_method(model, "prompt", num_virtual_tokens=7)
    width = 8 if name == "electra" else 16
    assert {row.part: row.total for row in table.rows}["delta"] == 7 * width


def tokenizer(text: str) -> dict[str, list[int]]:
    """Words by their length, then an end mark."""
    return {"input_ids": [10 + len(word) for word in text.split()] + [1]}


def test_a_text_is_repeated_or_cut_to_the_length():
    model = tiny("t5")
    text = {"initial_text": "is it good", "num_virtual_tokens": 6}
    apply_method(model, "prompt", tokenizer=tokenizer, **text)
    matrix = torch_parameters(model)["shared.weight"].to_torch()
    expected = matrix[[12, 12, 14, 1, 12, 12]]
    np.testing.assert_array_equal(
        torch_parameters(model)["encoder.prompt"].to_torch(), expected
    )
    short = tiny("t5")
    apply_method(
        short, "prompt", tokenizer=tokenizer, **{**text, "num_virtual_tokens": 2}
    )
    np.testing.assert_array_equal(
        torch_parameters(short)["encoder.prompt"].to_torch(), matrix[[12, 12]]
    )


@pytest.mark.parametrize("name", ["t5", "bart", "bert", "deberta-v2"])
def test_saved_and_loaded_it_gives_the_same(name, tmp_path):
    model = prompted(name)
    train_steps(model)
    save_adapter(model, tmp_path, base_model="")
    fresh = spread(tiny(name), 0.2)
    assert load_adapter(fresh, tmp_path) == Prompt(num_virtual_tokens=4)
    batch = tiny_batch(model)
    np.testing.assert_array_equal(fresh(batch).logits, model(batch).logits)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("t5", {"initial_text": "good"}, "takes a tokenizer.*tokenizer=tokenizer"),
        (
            "t5",
            {"initial_tokens": (64,)},
            "tokens that the model does not have.*0 to 63",
        ),
        ("led", {}, "no defined place in the input of led"),
        ("gpt2", {}, "no defined place in the input of gpt2"),
        ("t5", {"num_virtual_tokens": 0}, "cannot have this num_virtual_tokens"),
    ],
)
def test_a_refusal_leaves_the_model_as_it_was(name, options, message):
    model = tiny(name)
    layers = [id(layer) for layer in model._flatten_layers()]
    with pytest.raises(UserError, match=f"(?s){message}"):
        apply_method(model, "prompt", **options)
    assert [id(layer) for layer in model._flatten_layers()] == layers


def test_a_text_and_tokens_together_are_refused():
    with pytest.raises(UserError, match="from a text or from tokens"):
        Prompt(initial_text="good", initial_tokens=(3,)).tokenised(tokenizer)


def test_position_ids_are_refused():
    model = prompted("bert")
    ids = tiny_batch(model)["input_ids"]
    with pytest.raises(UserError, match="counted from its first vector"):
        model(input_ids=ids, position_ids=tf.range(8)[None])
