"""The memory that training takes: weights, gradients, optimizer states, activations."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from kerastune_llm.registry import OPTIMIZERS

FLOAT32 = 4

# Left to the device's driver and libraries and to gaps between tensors.
_KEPT_FREE = 0.1


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
        room = memory * (1 - _KEPT_FREE) - self.without_rows
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
