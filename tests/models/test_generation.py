"""Generation in graphs against transformers' own eager `generate`, row by row."""

import logging

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.generation import Generator
from kerastune_llm.models.torch_layout import torch_parameters
from tests.tiny_models import SEQ2SEQ, spread, tiny

INPUTS = [[7, 9, 2], [11, 12, 13, 14, 15, 16, 17, 18, 19, 2], [31, 2]]
LONGER = [[20 + n % 30 for n in range(length)] + [2] for length in (40, 3, 25, 33)]


def small(name: str, **changes: object) -> keras.Model:
    """A model of one layer a stack, drawn wide so that its output varies."""
    layers = {
        key: 1
        for key in ("num_layers", "encoder_layers", "decoder_layers")
        if key in SEQ2SEQ[name][2]
    }
    return spread(tiny(name, **layers, **changes), 0.7)


def eager(
    model: keras.Model, ids: list[int], *, max_new_tokens: int, num_beams: int = 1
) -> list[int]:
    """The ids transformers generates for one row, unpadded, without its start token."""
    generated = model.generate(
        input_ids=tf.constant([ids]),
        attention_mask=tf.ones([1, len(ids)], tf.int32),
        max_new_tokens=max_new_tokens,
        num_beams=num_beams,
        do_sample=False,
    )
    ids = generated.numpy()[0].tolist()[1:]
    end = model.generation_config.eos_token_id
    return ids[: ids.index(end)] if end in ids else ids


def check_equals_eager(name: str, num_beams: int, *, jit: bool) -> None:
    model = small(name)
    generator = Generator(
        model, max_new_tokens=6, num_beams=num_beams, batch_size=2, jit=jit
    )
    expected = [
        eager(model, ids, max_new_tokens=6, num_beams=num_beams) for ids in INPUTS
    ]
    assert generator(INPUTS) == expected
    assert len({tuple(ids) for ids in expected}) > 1


def forget_encoder(model: keras.Model) -> None:
    """Set the encoder's weights to zero, the shared embeddings aside."""
    for name, parameter in torch_parameters(model).items():
        if "encoder." in name:
            parameter.variable.assign(tf.zeros_like(parameter.variable))


@pytest.mark.parametrize(("name", "num_beams"), [("t5", 1), ("t5", 3), ("bart", 1)])
def test_from_a_kept_encoder_the_same_is_generated(name, num_beams):
    model = small(name)
    options = {"max_new_tokens": 6, "num_beams": num_beams, "batch_size": 2}
    expected = Generator(model, **options)(INPUTS + LONGER)
    generator = Generator(model, **options)
    generator.keep_encoded(1.0)
    assert generator(INPUTS + LONGER) == expected
    assert generator.graphs == 1
    forget_encoder(model)
    assert generator(INPUTS + LONGER) == expected
    assert generator(INPUTS[:1]) == Generator(model, **options)(INPUTS[:1])


def test_what_is_beyond_the_limit_is_computed_again():
    model = small("t5")
    generator = Generator(model, max_new_tokens=6, batch_size=1)
    # The longest comes first: 16 positions of 16 numbers, of 4 bytes each.
    generator.keep_encoded((16 * 16 * 4 + 1) / 2**30)
    before = generator(INPUTS)
    forget_encoder(model)
    after, without = generator(INPUTS), Generator(model, max_new_tokens=6)(INPUTS)
    assert after[1] == before[1] != without[1]
    assert [after[0], after[2]] == [without[0], without[2]] != [before[0], before[2]]


@pytest.mark.parametrize("num_beams", [1, 3])
def test_one_token_is_the_likeliest_first_one(num_beams):
    model = small("t5")
    generator = Generator(model, max_new_tokens=1, num_beams=num_beams, batch_size=2)
    start = tf.fill([1, 1], model.config.decoder_start_token_id)
    expected = [
        int(tf.argmax(model(tf.constant([ids]), decoder_input_ids=start).logits[0, 0]))
        for ids in INPUTS
    ]
    assert generator(INPUTS) == [[token] for token in expected]
    assert len(set(expected)) > 1


@pytest.mark.parametrize(("name", "num_beams"), [("t5", 1), ("marian", 3)])
@pytest.mark.parametrize("jit", [False, True])
def test_a_graph_equals_eager(name, num_beams, jit):
    check_equals_eager(name, num_beams, jit=jit)


@pytest.mark.long
@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("name", sorted(SEQ2SEQ))
def test_a_graph_equals_eager_everywhere(name, num_beams):
    check_equals_eager(name, num_beams, jit=False)


@pytest.mark.long
@pytest.mark.parametrize("name", ["bart", "mt5", "pegasus"])
def test_xla_equals_eager_of_other_kinds(name):
    check_equals_eager(name, 1, jit=True)


@pytest.mark.parametrize(("name", "num_beams"), [("mbart", 1), ("bart", 2)])
def test_a_graph_for_any_batch_forces_tokens_as_eager_does(name, num_beams):
    model = small(name)
    generator = Generator(model, max_new_tokens=4, num_beams=num_beams)
    spec = tf.TensorSpec([None, None], tf.int32)
    graph = tf.function(generator.generate).get_concrete_function(spec, spec)
    for ids in INPUTS:
        found = graph(tf.constant([ids]), tf.ones([1, len(ids)], tf.int32))
        expected = eager(model, ids, max_new_tokens=4, num_beams=num_beams)
        assert found.numpy()[0, 1 : 1 + len(expected)].tolist() == expected


def test_order_is_kept_in_one_graph_for_all_lengths():
    model = small("t5-untied")
    generator = Generator(model, max_new_tokens=4, batch_size=2, max_input_tokens=48)
    done = []
    inputs = [*INPUTS, *LONGER]
    outputs = generator(inputs, on_batch=lambda *counts: done.append(counts))
    assert outputs == [eager(model, ids, max_new_tokens=4) for ids in inputs]
    assert done == [(2, 7), (4, 7), (6, 7), (7, 7)]
    assert generator(inputs) == outputs
    assert generator.graphs == 1


def test_xla_compiles_once_for_each_bucket():
    model = small("t5-untied")
    generator = Generator(
        model, max_new_tokens=2, batch_size=2, max_input_tokens=48, jit=True
    )
    inputs = [*INPUTS, *LONGER]
    # Longest first: 41 and 34 at the limit of 48, then 26 and 10, 4 and 3, and 2.
    outputs = generator(inputs)
    assert outputs == [eager(model, ids, max_new_tokens=2) for ids in inputs]
    assert generator.graphs == 2
    assert generator(inputs) == outputs
    assert generator.graphs == 2


@pytest.mark.parametrize("num_beams", [1, 2])
def test_scores_are_the_mean_probability_of_the_generated_tokens(num_beams):
    model = small("t5-untied")
    # An end mark that some rows reach, and others do not.
    model.generation_config.eos_token_id = eager(model, INPUTS[0], max_new_tokens=4)[2]
    generator = Generator(
        model, max_new_tokens=4, num_beams=num_beams, batch_size=2, jit=False
    )
    outputs, scores = generator.scored(INPUTS)
    assert outputs == generator(INPUTS)
    lengths = set()
    for ids, tokens, score in zip(INPUTS, outputs, scores, strict=True):
        end = [model.generation_config.eos_token_id]
        target = tokens + end * (len(tokens) < 4)
        lengths.add(len(target))
        start = [model.config.decoder_start_token_id]
        before = tf.constant([start + target[:-1]])
        logits = model(input_ids=tf.constant([ids]), decoder_input_ids=before).logits[0]
        chosen = tf.gather(tf.nn.softmax(logits), target, batch_dims=1)
        expected = np.prod(chosen) ** (1 / len(target))
        assert score == pytest.approx(expected, rel=1e-4)
    assert len(lengths) > 1


def test_new_weights_are_seen_by_a_compiled_graph():
    model = small("t5")
    generator = Generator(model, max_new_tokens=5, batch_size=4)
    before = generator(INPUTS)
    spread(model, 0.7, seed=3)
    after = generator(INPUTS)
    assert after == [eager(model, ids, max_new_tokens=5) for ids in INPUTS]
    assert after != before


def test_output_stops_at_the_end_mark_and_max_length_gives_way():
    model = small("t5-untied")
    free = eager(model, INPUTS[0], max_new_tokens=8)
    end = free[3]
    model.generation_config.eos_token_id = end
    model.generation_config.max_length = 3
    generator = Generator(model, max_new_tokens=8, batch_size=4)
    outputs = generator(INPUTS)
    assert outputs[0] == free[: free.index(end)]
    assert outputs == [eager(model, ids, max_new_tokens=8) for ids in INPUTS]
    assert all(end not in ids for ids in outputs)


def test_long_input_is_cut_before_its_last_token_with_a_warning(caplog):
    model = small("t5")
    generator = Generator(
        model, max_new_tokens=4, batch_size=2, max_input_tokens=16, jit=False
    )
    with caplog.at_level(logging.WARNING):
        outputs = generator([LONGER[0], LONGER[1]])
    assert "1 of 2 inputs were cut to 16 tokens" in caplog.text
    cut = [*LONGER[0][:15], LONGER[0][-1]]
    assert outputs == [eager(model, ids, max_new_tokens=4) for ids in (cut, LONGER[1])]


def test_what_cannot_be_compiled_runs_uncompiled_with_a_warning(caplog):
    model = small("bart", no_repeat_ngram_size=2)
    with caplog.at_level(logging.WARNING):
        generator = Generator(model, max_new_tokens=8, batch_size=4)
    assert "no_repeat_ngram_size=2" in caplog.text
    outputs = generator(INPUTS)
    assert outputs == [eager(model, ids, max_new_tokens=8) for ids in INPUTS]
    assert not generator.graphs


def test_no_input_gives_no_output():
    assert Generator(small("t5"), max_new_tokens=4)([]) == []


def test_refusals():
    model = small("t5")
    with pytest.raises(UserError, match="no tokens"):
        Generator(model, max_new_tokens=4)([[5], []])
    with pytest.raises(UserError, match="num_beams must be positive"):
        Generator(model, max_new_tokens=4, num_beams=0)
    with pytest.raises(UserError, match="cannot generate"):
        Generator(tiny("bert"), max_new_tokens=4)
