"""The numbers a model computes in."""

import contextlib
from collections.abc import Iterator
from typing import Literal, get_args

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError, unknown_name

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]

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

    Weights stay float32; `"mixed_*"` computes in 16 bits. `"float32"` resets it.

    Args:
        precision: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`.
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
    keras.mixed_precision.set_global_policy(precision)
