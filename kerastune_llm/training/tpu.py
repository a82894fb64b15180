"""Finding a TPU, and connecting to it."""

import os
import socket

from kerastune_llm.backend import tf
from kerastune_llm.errors import UserError

# The TPU that is a part of this machine, as `TPUClusterResolver` calls it.
LOCAL = "local"
_GRPC, _PORT = "grpc://", 8470
_CONNECT_SECONDS = 10.0
# TensorFlow lists both on a TPU VM; the system itself from the start.
_DEVICE_TYPES = ("TPU", "TPU_SYSTEM")


def find_tpu() -> str | None:
    """Where the TPU is, as `TPUClusterResolver` is told; `None` where there is none.

    Looks at what is known already, the environment and TensorFlow's devices: nothing
    is connected to, and no cloud is asked.

    Returns:
        `"local"`, `"grpc://host:port"`, or a name that the cloud is to resolve.
    """
    if address := os.environ.get("COLAB_TPU_ADDR"):
        return _GRPC + address.removeprefix(_GRPC)
    if name := os.environ.get("TPU_NAME"):
        return name
    devices = tf.config.list_physical_devices()
    is_local = any(device.device_type in _DEVICE_TYPES for device in devices)
    return LOCAL if is_local else None


def tpu_strategy(address: str) -> tf.distribute.TPUStrategy:
    """Connect to a TPU, which forgets what it held, and make its strategy.

    Args:
        address: As `find_tpu` gives it.

    Raises:
        UserError: It does not answer, or this TensorFlow was built without TPUs.
    """
    _check_answers(address)
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=address)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError, OSError, ImportError) as error:
        raise UserError(
            f"The TPU cannot be used: {_first_line(error)}",
            received=f"TPU {address}, TensorFlow {tf.__version__}",
            mend="a TensorFlow that was built with TPUs (pip install tensorflow-tpu, "
            "of this version), TPU_NAME=local for a TPU of this machine, or "
            "--runtime.strategy one",
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _check_answers(address: str) -> None:
    """Refuse an address where nobody listens; TensorFlow would wait for long."""
    if not address.startswith(_GRPC):
        return
    # Of several hosts the first one leads.
    first = address.removeprefix(_GRPC).partition(",")[0]
    host, _, port = first.partition(":")
    place = (host, int(port) if port.isdigit() else _PORT)
    try:
        socket.create_connection(place, _CONNECT_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"The TPU does not answer: {error.strerror or error}.",
            received=address,
            mend="see that it runs, take its address out of TPU_NAME and "
            "COLAB_TPU_ADDR, or --runtime.strategy one",
        ) from error


def _first_line(error: Exception) -> str:
    """What TensorFlow says, without the attributes of its operations."""
    text = str(error).strip() or type(error).__name__
    return f"{text.splitlines()[0].partition(' used by ')[0].rstrip('.')}."
