"""How much memory a run may take, and its end when it has taken more."""

from kerastune_llm.backend import keras, tf
from kerastune_llm.commands.child_process import own_peak_memory
from kerastune_llm.config import RunConfig
from kerastune_llm.training.memory import GIB, free_memory


def memory_limit(config: RunConfig) -> int:
    """Bytes that the run may take: as given, else what the device has free."""
    asked = config.runtime.memory_limit
    return free_memory() if asked is None else int(asked * GIB)


class MemoryGuard(keras.callbacks.Callback):
    """Ends a run whose process has taken more memory than it may.

    Args:
        limit: Bytes.

    Raises:
        MemoryError: After the update that took more.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        peak = own_peak_memory()
        if peak > self.limit:
            raise MemoryError(
                f"{gib(peak)} GiB were taken, of the {gib(self.limit)} GiB of "
                "--runtime.memory-limit"
            )


def memory_guards(config: RunConfig) -> list[keras.callbacks.Callback]:
    """What watches over the memory, where it is limited."""
    # A GPU's own limit is TensorFlow's to keep.
    is_watched = config.runtime.memory_limit is not None and not has_gpu()
    return [MemoryGuard(memory_limit(config))] if is_watched else []


def has_gpu() -> bool:
    """Whether models are on a GPU, whose memory is not the process's."""
    return bool(tf.config.list_physical_devices("GPU"))


def gib(count: float) -> str:
    """Bytes in GiB.

    >>> gib(2**29)
    '0.50'
    """
    return f"{count / GIB:.2f}"
