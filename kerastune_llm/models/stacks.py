"""Where a model of transformers keeps its stacks of blocks."""

from kerastune_llm.backend import keras


def base_of(model: keras.Model) -> keras.layers.Layer:
    """The layer that holds the stacks: the model itself in T5."""
    return getattr(model, model.base_model_prefix, model)


def last_before_head(model: keras.Model) -> tuple[keras.layers.Layer, str]:
    """The layer whose output the head reads: what holds it, and under which name.

    It is the base model; T5's has no layer of its own, and ends with its decoder.
    """
    if base_of(model) is model:
        return model, "decoder"
    return model, model.base_model_prefix
