"""Gradual unfreezing: what trains at every update, and how far it moves."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.gradual import Gradual
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model
from tests.tiny_models import CLASSIFIERS, SEQ2SEQ, tiny, tiny_batch

RATE = 0.01
T5_TOP = (
    "encoder.final_layer_norm.",
    "decoder.final_layer_norm.",
    "encoder.block.2.",
    "decoder.block.2.",
)
# What each stage adds, as beginnings of names.
STAGES = {
    "t5": (
        ("shared.", *T5_TOP),
        ("encoder.block.1.", "decoder.block.1."),
        ("encoder.block.0.", "decoder.block.0."),
    ),
    "t5-untied": (
        ("lm_head.", *T5_TOP),
        ("encoder.block.1.", "decoder.block.1."),
        ("encoder.block.0.", "decoder.block.0."),
        ("shared.",),
    ),
    "bart": (
        ("model.shared.", "model.encoder.layers.2.", "model.decoder.layers.2."),
        ("model.encoder.layers.1.", "model.decoder.layers.1."),
        ("model.encoder.layers.0.", "model.decoder.layers.0."),
        ("model.encoder.", "model.decoder."),
    ),
    "bert": (
        ("classifier.", "bert.pooler.", "bert.encoder.layer.2."),
        ("bert.encoder.layer.1.",),
        ("bert.encoder.layer.0.",),
        ("bert.embeddings.",),
    ),
}
DEPTHS = {
    "t5": {"num_layers": 3, "num_decoder_layers": 3},
    "t5-untied": {"num_layers": 3, "num_decoder_layers": 3},
    "bart": {"encoder_layers": 3, "decoder_layers": 3},
    "bert": {"num_hidden_layers": 3},
}


class Moves(keras.callbacks.Callback):
    """Per update, how far each parameter's farthest element moved."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[dict[str, float]] = []

    def _values(self) -> dict[str, np.ndarray]:
        parameters = torch_parameters(self.model)
        return {name: p.to_torch().copy() for name, p in parameters.items()}

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._before = self._values()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        after = self._values()
        self.steps.append(
            {n: float(abs(after[n] - v).max()) for n, v in self._before.items()}
        )

    def moved(self) -> list[set[str]]:
        return [{n for n, far in step.items() if far} for step in self.steps]


def stages_of(name: str, model: keras.Model) -> list[set[str]]:
    """The closed rule: the names of `STAGES`, added up."""
    names, known = set(torch_parameters(model)) - layout_of(model).fixed, set()
    stages = []
    for prefixes in STAGES[name]:
        known = known | {n for n in names if n.startswith(prefixes)}
        stages.append(known)
    return stages


def batches(model: keras.Model, steps: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensors(tiny_batch(model)).repeat(steps)


def adam(**options: object) -> keras.optimizers.Optimizer:
    return build_optimizer("adam", learning_rate=RATE, **options)


def train(
    model: keras.Model,
    method: Gradual,
    steps: int,
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
    jit: bool = False,
) -> Moves:
    """The method applied and `steps` updates made with the package's own step."""
    apply_method(model, method)
    compile_model(model, optimizer or adam(use_fused=False), jit=jit)
    moves = Moves()
    callbacks = [moves, *method.callbacks(model, total_steps=steps)]
    model.fit(batches(model, steps), verbose=0, callbacks=callbacks)
    return moves


@pytest.mark.parametrize("name", STAGES)
def test_blocks_join_from_the_top(name):
    model = tiny(name, **DEPTHS[name])
    layout = layout_of(model)
    assert list(Gradual().stages(layout)) == stages_of(name, model)
    assert stages_of(name, model)[-1] == layout.names - layout.fixed


@pytest.mark.parametrize(
    "name",
    ["bert"] + [pytest.param(n, marks=pytest.mark.long) for n in STAGES if n != "bert"],
)
def test_weights_move_in_their_turn_and_are_bit_equal_until_then(name):
    model = tiny(name, **DEPTHS[name])
    expected = [stage for stage in stages_of(name, model) for _ in range(2)]
    assert train(model, Gradual(every=2), len(expected)).moved() == expected


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CLASSIFIERS])
def test_every_model_ends_with_everything(name):
    layout = layout_of(tiny(name))
    stages = Gradual().stages(layout)
    assert all(one < other for one, other in zip(stages, stages[1:], strict=False))
    assert stages[-1] == layout.names - layout.fixed
    top = {stack[-1].parameters for stack in layout.blocks.values()}
    assert all(block - layout.fixed <= stages[0] for block in top)


def test_the_shorter_stack_waits():
    model = tiny("t5", num_layers=1, num_decoder_layers=3)
    stages = Gradual(blocks=2).stages(layout_of(model))
    added = {n.split(".layer")[0] for n in stages[1] - stages[0]}
    assert added == {"decoder.block.0"}
    assert {n for n in stages[0] if n.startswith("encoder.block.0")}


def test_each_stage_has_an_equal_share_of_the_run():
    """The T5 paper's twelve episodes of `steps / 12`, for a tied T5 of twelve."""
    model = tiny("t5", num_layers=12, num_decoder_layers=12)
    (thaw,) = Gradual().callbacks(model, total_steps=2**18)
    assert (len(thaw.stages), thaw.every) == (12, 2**18 // 12)


@pytest.mark.long
def test_the_first_update_of_a_thawed_weight_is_as_long_as_any_first_one():
    """Adam's first update is `rate * g / |g|` whatever the gradient.

    (Epsilon aside.) Corrected by the run's count, the fifth would be 0.55 of that.
    """
    model = tiny("bert", **DEPTHS["bert"])
    moves = train(model, Gradual(every=2), 8, optimizer=adam(epsilon=1e-20))
    known: set[str] = set()
    for stage, step in zip(stages_of("bert", model), moves.steps[::2], strict=True):
        for name in stage - known:
            # Biases of keys have no gradient but rounding.
            if "key.bias" not in name:
                assert step[name] == pytest.approx(RATE, rel=1e-3), name
        known = stage


@pytest.mark.long
def test_the_package_s_step_is_the_same_with_jit():
    ends = []
    for jit in (False, True):
        model = tiny("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        sgd = build_optimizer("sgd", learning_rate=RATE)
        moves = train(model, Gradual(every=1), 3, jit=jit, optimizer=sgd)
        ends.append([p.to_torch() for p in torch_parameters(model).values()])
        assert len(moves.steps) == int(model.optimizer.iterations) == 3
    for plain, compiled in zip(*ends, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=1e-6)


def test_a_second_fit_goes_on_where_the_first_ended():
    model = tiny("bert")
    method = Gradual(every=2)
    first, second, last = method.stages(layout_of(model))
    assert train(model, method, 3).moved() == [first, first, second]
    moves = Moves()
    callbacks = [moves, *method.callbacks(model, total_steps=5)]
    model.fit(batches(model, 2), verbose=0, callbacks=callbacks)
    assert moves.moved() == [second, last]


def test_plain_keras_compile_trains_with_the_package_s_optimizer():
    model = tiny("bert")
    method, moves = Gradual(every=1), Moves()
    table = apply_method(model, method)
    sizes = {
        n: p.variable.shape.num_elements() for n, p in torch_parameters(model).items()
    }
    stages = list(method.stages(layout_of(model)))
    assert table.trainable == sum(sizes[name] for name in stages[-1])
    assert table.later == sum(sizes[name] for name in stages[-1] - stages[0])
    model.compile(adam())
    model.fit(
        batches(model, 3),
        verbose=0,
        callbacks=[moves, *method.callbacks(model, total_steps=3)],
    )
    assert moves.moved() == stages


def test_an_optimizer_that_counts_from_the_beginning_is_refused():
    model = tiny("bert")
    method = Gradual(every=1)
    apply_method(model, method)
    model.compile(keras.optimizers.Adam(RATE))
    before = [variable.numpy() for variable in model.weights]
    with pytest.raises(UserError, match="too far.*(?s:.)*Received: Adam"):
        model.fit(batches(model, 2), verbose=0, callbacks=method.callbacks(model, 2))
    for variable, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_a_run_too_short_is_said(caplog):
    model = tiny("bert", **DEPTHS["bert"])
    with caplog.at_level(logging.WARNING):
        Gradual(every=4).callbacks(model, total_steps=16)
        assert not caplog.text
        Gradual(every=4).callbacks(model, total_steps=12)
    assert "ends in stage 3 of 4: 5 weights never train" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 0}, "blocks=0"),
        ({"every": 0}, "every=0"),
        ({"blocks": 3}, "1 to 2"),
    ],
)
def test_a_refusal_leaves_the_model_as_it_was(options, message):
    model = tiny("t5")
    names = [variable.name for variable in model.trainable_variables]
    with pytest.raises(UserError, match=message):
        apply_method(model, "gradual", **options)
    assert [variable.name for variable in model.trainable_variables] == names


@pytest.mark.long
def test_two_replicas_thaw_as_one():
    script = Path(__file__).with_name("gradual_replicas.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
