"""The Keras optimizer around the rules: clipping, decay groups, fusing, state."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.registry import OPTIMIZERS
from kerastune_llm.training.optimizers import RuleOptimizer, build_optimizer
from kerastune_llm.training.schedules import build_schedule
from tests.tiny_models import tiny


def make_variables() -> list[tf.Variable]:
    generator = np.random.default_rng(0)
    shapes = {"dense/kernel": (4, 3), "dense/bias": (3,), "table/embeddings": (6, 2)}
    return [
        tf.Variable(generator.normal(size=shape).astype(np.float32), name=name)
        for name, shape in shapes.items()
    ]


def gradients_of(step: int) -> list[tf.Tensor | tf.IndexedSlices]:
    """Dense gradients, and for the table a sparse one that names a row twice."""
    generator = np.random.default_rng(step + 1)
    kernel, bias, rows = (
        tf.constant(generator.normal(size=shape).astype(np.float32))
        for shape in ((4, 3), (3,), (3, 2))
    )
    indices = tf.constant([step % 6, 2, 2])
    return [kernel, bias, tf.IndexedSlices(rows, indices, tf.constant([6, 2]))]


def train(optimizer: RuleOptimizer, steps: range) -> list[np.ndarray]:
    variables = make_variables()
    for step in steps:
        optimizer.apply_gradients(zip(gradients_of(step), variables, strict=True))
    return [variable.numpy() for variable in variables]


def make(name: str = "adamw", **changes: object) -> RuleOptimizer:
    values = {"learning_rate": 0.01, "weight_decay": 0.1, "clip_norm": 1.0}
    return build_optimizer(name, **{**values, **changes})


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_fused_equals_unfused(name):
    fused = train(make(name, use_fused=True), range(4))
    unfused = train(make(name, use_fused=False), range(4))
    for one, other, start in zip(fused, unfused, make_variables(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
        assert np.abs(one - start.numpy()).max() > 1e-4


def test_clips_as_torch_does():
    """`torch.nn.utils.clip_grad_norm_`: g * min(1, max_norm / (norm + 1e-6))."""
    dense = [tf.convert_to_tensor(gradient) for gradient in gradients_of(0)]
    flat = np.concatenate([gradient.numpy().ravel() for gradient in dense])
    norm = np.sqrt(np.sum(flat.astype(float) ** 2))
    for clip_norm in (0.0, 0.5, 1e3):
        optimizer = make("sgd", momentum=0.0, weight_decay=0.0, clip_norm=clip_norm)
        values = train(optimizer, range(1))
        share = min(1.0, clip_norm / (norm + 1e-6)) if clip_norm else 1.0
        assert float(optimizer.gradient_norm) == pytest.approx(norm, rel=1e-6)
        for value, start, gradient in zip(values, make_variables(), dense, strict=True):
            expected = start.numpy() - 0.01 * share * gradient.numpy()
            np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)


def test_moments_of_unused_embedding_rows_decay():
    """A row seen at the first step alone goes on moving, as with dense gradients."""
    table = tf.Variable(tf.zeros((3, 1)))
    optimizer = make(weight_decay=0.0, clip_norm=0.0)
    for row in (0, 1, 1):
        gradient = tf.IndexedSlices(tf.ones((1, 1)), [row], tf.constant([3, 1]))
        optimizer.apply_gradients([(gradient, table)])
    # Adam's formula for gradients 1, 0, 0.
    m = [0.1, 0.09, 0.081]
    v = [0.001 * 0.999**t for t in range(3)]
    moved = sum(
        0.01 * m[t] / (1 - 0.9 ** (t + 1)) / np.sqrt(v[t] / (1 - 0.999 ** (t + 1)))
        for t in range(3)
    )
    assert float(table[0, 0]) == pytest.approx(-moved, rel=1e-5)
    assert float(table[2, 0]) == 0


DECAYED = {
    # The Trainer's rule over PyTorch's names: neither bias nor norm is part of them.
    "t5": {
        "shared.weight",
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "decoder.block.1.layer.2.DenseReluDense.wo.weight",
    },
    "bert": {
        "bert.embeddings.word_embeddings.weight",
        "bert.pooler.dense.weight",
        "classifier.weight",
    },
}
KEPT = {
    "t5": {
        "encoder.block.0.layer.0.layer_norm.weight",
        "decoder.final_layer_norm.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    },
    "bert": {
        "bert.embeddings.LayerNorm.weight",
        "bert.encoder.layer.1.output.LayerNorm.bias",
        "classifier.bias",
    },
}


@pytest.mark.parametrize("name", sorted(DECAYED))
def test_biases_and_norms_do_not_decay(name):
    model = tiny(name)
    before = {n: p.variable.numpy() for n, p in torch_parameters(model).items()}
    optimizer = make(learning_rate=0.1, weight_decay=0.5)
    still = [tf.zeros_like(variable) for variable in model.trainable_variables]
    optimizer.apply_gradients(zip(still, model.trainable_variables, strict=True))
    # With no gradient, AdamW multiplies by 1 - learning rate * decay and no more.
    for parameter in DECAYED[name] | KEPT[name]:
        after = torch_parameters(model)[parameter].variable.numpy()
        share = 0.95 if parameter in DECAYED[name] else 1.0
        np.testing.assert_allclose(after, share * before[parameter], rtol=1e-6)


def test_no_decay_can_be_chosen():
    optimizer = make(no_decay=["table"], learning_rate=0.1, weight_decay=0.5)
    variables = make_variables()
    before = [variable.numpy() for variable in variables]
    zeros = [tf.zeros_like(variable) for variable in variables]
    optimizer.apply_gradients(zip(zeros, variables, strict=True))
    for variable, start, share in zip(
        variables, before, (0.95, 0.95, 1.0), strict=True
    ):
        np.testing.assert_allclose(variable.numpy(), share * start, rtol=1e-6)


def test_follows_its_schedule_by_completed_updates():
    schedule = build_schedule("linear", learning_rate=1.0, warmup=2, total_steps=6)
    optimizer = make("sgd", momentum=0.0, learning_rate=schedule, weight_decay=0.0)
    weight, seen = tf.Variable([10.0]), []
    for _ in range(4):
        optimizer.apply_gradients([(tf.constant([1.0]), weight)])
        seen.append(float(optimizer.learning_rate))
    assert seen == [0.0, 0.5, 1.0, 0.75]
    assert int(optimizer.iterations) == 4
    # A gradient of norm 1 is cut to 1 / (1 + 1e-6).
    assert float(weight[0]) == pytest.approx(10 - sum(seen), rel=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_checkpoint_continues_exactly(name, tmp_path):
    straight = train(make(name), range(4))

    optimizer, variables = make(name), make_variables()
    for step in range(2):
        optimizer.apply_gradients(zip(gradients_of(step), variables, strict=True))
    names = {f"v{index}": variable for index, variable in enumerate(variables)}
    path = tf.train.Checkpoint(optimizer=optimizer, **names).write(str(tmp_path / "c"))

    optimizer, variables = make(name), make_variables()
    optimizer.build(variables)
    names = {f"v{index}": variable for index, variable in enumerate(variables)}
    status = tf.train.Checkpoint(optimizer=optimizer, **names).read(path)
    status.assert_existing_objects_matched()
    for step in range(2, 4):
        optimizer.apply_gradients(zip(gradients_of(step), variables, strict=True))
    for value, expected in zip(variables, straight, strict=True):
        np.testing.assert_array_equal(value.numpy(), expected)


def test_config_makes_the_same_optimizer():
    schedule = build_schedule("cosine", learning_rate=0.1, warmup=1, total_steps=9)
    optimizer = make(learning_rate=schedule, beta_2=0.98, use_fused=False)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.rule == optimizer.rule
    for one, other in zip(
        train(optimizer, range(3)), train(again, range(3)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("adamv", {}, "Unknown optimizer. Did you mean adam"),
        (
            "adamw",
            {"beta2": 0.9},
            "Unknown hyper-parameter of adamw. Did you mean beta_2",
        ),
        ("adamw", {"weight_decay": -1.0}, "The weight decay must not be negative."),
        ("adamw", {"clip_norm": -1.0}, "The clip norm must not be negative."),
    ],
)
def test_refuses(name, changes, message):
    with pytest.raises(UserError, match=message):
        make(name, **changes)
