"""The steps of a run with static shapes, each one function that XLA compiles whole."""

from collections.abc import Mapping, Sequence

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.generation import Generator
from kerastune_llm.models.trunk import call_model
from kerastune_llm.training.step import loss_sum, train_step

Batch = Mapping[str, tf.Tensor]
GraphFunction = tf.types.experimental.PolymorphicFunction


def static_steps(
    model: keras.Model,
    *,
    accumulate_steps: int = 1,
    seed: int = 0,
    generators: Mapping[str, Generator] | None = None,
    jit: bool = True,
) -> dict[str, GraphFunction]:
    """Training, evaluation and generation of a model, by name.

    Args:
        model: Went through `compile_model`.
        accumulate_steps: Parts that a batch is computed in.
        seed: Of dropout.
        generators: By name, for a model that writes text; each is called with ids and
            their mask, `[batch, length]`.
        jit: Whether XLA compiles them; the same functions in graph mode without it.

    Returns:
        `train` and `evaluate`, which take a batch; `logits`, which takes one without
        labels, of a classifier; and the generators.
    """

    def train(batch: Batch) -> dict[str, tf.Tensor]:
        return train_step(model, batch, accumulate_steps=accumulate_steps, seed=seed)

    def evaluate(batch: Batch) -> Sequence[tf.Tensor]:
        return loss_sum(model, batch, training=False)

    def logits(batch: Batch) -> tf.Tensor:
        return tf.cast(call_model(model, batch, training=False).logits, tf.float32)

    steps = {"train": train, "evaluate": evaluate}
    if generators is None:
        steps["logits"] = logits
    else:
        steps |= {name: each.generate for name, each in generators.items()}
    return {
        name: tf.function(step, jit_compile=jit, autograph=False)
        for name, step in steps.items()
    }
