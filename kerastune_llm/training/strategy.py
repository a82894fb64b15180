"""Which devices a run uses."""

import logging
from typing import Literal, get_args

from kerastune_llm.backend import tf
from kerastune_llm.errors import unknown_name

logger = logging.getLogger(__name__)

StrategyName = Literal["auto", "one", "mirrored"]


def get_strategy(name: StrategyName = "auto") -> tf.distribute.Strategy:
    """The strategy of that name; the log says what was picked.

    Args:
        name: `"one"` device; `"mirrored"` over all GPUs, or over the logical CPU
            devices where there is no GPU; `"auto"`: mirrored with two GPUs or more,
            else one.

    Raises:
        UserError: An unknown name.
    """
    if name not in get_args(StrategyName):
        raise unknown_name("strategy", name, get_args(StrategyName))
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one" or (name == "auto" and len(gpus) < 2):
        logger.info("strategy: one device, %s", gpus[0].name if gpus else "the CPU")
        return tf.distribute.get_strategy()
    devices = [d.name for d in gpus or tf.config.list_logical_devices("CPU")]
    logger.info("strategy: mirrored over %s", ", ".join(devices))
    return tf.distribute.MirroredStrategy(devices)
