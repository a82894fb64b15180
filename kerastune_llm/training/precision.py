"""The numbers a model computes in."""

import contextlib
from collections.abc import Iterator
from typing import Literal, get_args

from kerastune_llm.backend import keras, tf  # isort: skip

from tf_keras.src.mixed_precision.autocast_variable import AutoCastVariable

from kerastune_llm.errors import UserError, unknown_name

Precision = Literal["float32", "mixed_bfloat16", "bfloat16", "mixed_float16"]

# Their attention mask adds -1e9, which float16 cannot hold: the first forward pass
# is NaN.
_OVERFLOWING_TYPES = ("t5", "mt5", "umt5", "longt5")


@contextlib.contextmanager
def computing_in(precision: Precision, model_type: str) -> Iterator[None]:
    """Within it, models are built to compute in a precision; after it, in float32."""
    set_precision(precision, model_type)
    try:
        yield
    finally:
        set_precision("float32", model_type)


def set_precision(precision: Precision, model_type: str) -> None:
    """Set the global Keras policy for models built from now on.

    Weights are float32; all but `"float32"`, which resets it, compute in 16 bits. For
    `"bfloat16"`, `store_frozen` then brings the weights that do not train to 16 bits.

    Args:
        precision: `"float32"`, `"mixed_bfloat16"`, `"bfloat16"` or `"mixed_float16"`.
        model_type: The configuration's `model_type`, such as `"t5"`.

    Raises:
        UserError: An unknown precision, or float16 with a T5-like model.
    """
    if precision not in get_args(Precision):
        raise unknown_name("precision", precision, get_args(Precision))
    if precision == "mixed_float16" and model_type in _OVERFLOWING_TYPES:
        raise UserError(
            f"mixed_float16 gives NaN from the first step with a {model_type} model, "
            "whose attention mask is beyond the range of float16.",
            accepted="float32, mixed_bfloat16",
            received=precision,
            mend="--runtime.precision mixed_bfloat16",
        )
    policy = "mixed_bfloat16" if precision == "bfloat16" else precision
    keras.mixed_precision.set_global_policy(policy)


def store_frozen(model: keras.Model) -> int:
    """Keep the matrices that do not train in bfloat16, half of their memory.

    What is computed with them is the same as in `"mixed_bfloat16"`, which rounds them
    at every use. Weights that train, vectors, and what is not rounded there (the
    embedding that T5 looks up) stay float32.

    Args:
        model: Built under `"bfloat16"`, in the strategy's scope, the method applied.

    Returns:
        How many numbers are kept in 16 bits.

    Raises:
        UserError: Nothing is frozen.
    """
    trained = {id(variable) for variable in model.trainable_variables}
    frozen = {
        id(variable): variable
        for variable in model.variables
        if id(variable) not in trained
        and isinstance(variable, AutoCastVariable)
        and len(variable.shape) > 1
    }.values()
    if not frozen:
        raise UserError(
            "No weights are frozen that could be kept in bfloat16.",
            mend="--runtime.precision mixed_bfloat16, or a method that freezes some",
        )
    for variable in frozen:
        # The layers' own variable stays; what it holds is another one.
        variable._variable = tf.Variable(
            tf.cast(variable.read_value(), tf.bfloat16),
            trainable=variable.trainable,
            name=variable.name.partition(":")[0],
        )
    return sum(variable.shape.num_elements() for variable in frozen)
