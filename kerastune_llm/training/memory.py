"""The memory that training takes: weights, gradients, optimizer states, activations."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kerastune_llm.errors import UserError
from kerastune_llm.registry import OPTIMIZERS

FLOAT32 = 4
GIB = 2**30

# Left to the device's driver and libraries and to gaps between tensors.
KEPT_FREE = 0.1


@dataclass(frozen=True)
class MemoryNeed:
    """What a run takes in one precision, in bytes.

    Args:
        weights: All weights, in float32.
        copies: 16-bit copies of the matrices, made for each step in mixed precision.
        gradients: Of the weights that train, in float32.
        optimizer: What the optimizer remembers of them, in float32.
        activations: Kept for the backward pass, for one row of a batch.
    """

    weights: int
    copies: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def without_rows(self) -> int:
        """What is taken whatever the batch."""
        return self.weights + self.copies + self.gradients + self.optimizer

    def total(self, batch_size: int) -> int:
        """All of it, for batches of so many rows."""
        return self.without_rows + batch_size * self.activations

    def largest_batch(self, memory: int) -> int:
        """Rows that fit into `memory` bytes, of which a tenth is kept free; or 0.

        >>> MemoryNeed(100, 0, 100, 200, activations=50).largest_batch(1000)
        10
        """
        room = memory * (1 - KEPT_FREE) - self.without_rows
        return max(0, int(room // self.activations))


def optimizer_bytes(name: str, shapes: Iterable[tuple[int, ...]]) -> int:
    """What an optimizer remembers of weights of these shapes.

    Args:
        name: As registered.
        shapes: Of the weights that train.

    >>> optimizer_bytes("adamw", [(10, 20)]), optimizer_bytes("adafactor", [(10, 20)])
    (1600, 120)
    """
    rule = OPTIMIZERS.get(name)()
    slots = (slot for shape in shapes for slot in rule.slots(shape).values())
    return FLOAT32 * sum(map(math.prod, slots))


def rule_of_thumb(parameters: int) -> int:
    """Bytes of full training with Adam: weight, gradient and two moments of each.

    >>> rule_of_thumb(247_577_856)
    3961245696
    """
    return 4 * parameters * FLOAT32


def free_memory() -> int:
    """Bytes of memory that processes on this machine may still take, on Linux.

    Raises:
        UserError: The system does not say.
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise UserError(
            "This system does not say how much memory is free.",
            mend="--runtime.memory-limit GB",
        ) from error
    fields = dict(line.split(":", 1) for line in lines)
    free = int(fields["MemAvailable"].split()[0]) * 1024
    return min([free, *_left_by_cgroup()])


def _left_by_cgroup() -> list[int]:
    """What a container may still take, where it is limited."""
    folder = Path("/sys/fs/cgroup")
    try:
        most = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = (folder / "memory.current").read_text(encoding="ascii")
    except OSError:  # Not in a container, or an older kernel.
        return []
    return [] if most == "max" else [int(most) - int(used)]
