"""Calling a model in a graph without AutoGraph, where its code allows it.

AutoGraph rewrites the source of every layer before it is traced, which takes several
times as long as the tracing: of BERT's and T5's code nothing needs it, and of ours.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kerastune_llm.backend import keras, tf

# What says whether code is converted, read where nothing has said that it is not to be.
_BY_DEFAULT = tf.__internal__.autograph.control_status_ctx()


def call_as_written(
    model: keras.Model, inputs: Mapping[str, tf.Tensor], *, training: bool
) -> Any:
    """The model's outputs; traced by AutoGraph only where its code branches on tensors.

    Args:
        model: A model of transformers.
        inputs: Its named inputs.
        training: Whether dropout is on.
    """
    return as_written(model, dict(inputs), training=training)


def as_written(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a function gives, traced by AutoGraph only where its code needs it.

    Code that branches on tensors (BART's, DeBERTa's) is refused when it is reached,
    never misread; what was traced up to there is not connected to anything and dropped.
    It is converted then, within code that is not, too.
    """
    if tf.executing_eagerly():
        return function(*arguments, **options)
    try:
        plain = tf.autograph.experimental.do_not_convert(function)
        return plain(*arguments, **options)
    except tf.errors.OperatorNotAllowedInGraphError:
        converted = tf.__internal__.autograph.tf_convert(function, _BY_DEFAULT)
        return converted(*arguments, **options)
