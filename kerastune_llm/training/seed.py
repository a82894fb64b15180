"""One seed for everything random."""

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError

_LIMIT = 2**32


def seed_everything(seed: int) -> None:
    """Seed Python, numpy, TensorFlow and the Keras initializers.

    Args:
        seed: From 0 to 2**32 - 1, numpy's range.

    Raises:
        UserError: The seed is out of that range.
    """
    if not 0 <= seed < _LIMIT:
        raise UserError(
            "The seed is out of range.", accepted=f"0 to {_LIMIT - 1}", received=seed
        )
    keras.utils.set_random_seed(seed)
