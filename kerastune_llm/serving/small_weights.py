"""Weights stored small in a SavedModel and computed with in float32."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kerastune_llm.backend import tf

SmallForm = Literal["float16", "int8"]

_LARGEST = 127


@dataclass(frozen=True)
class Stored:
    """One weight as it is stored; `small * scale` is its value.

    Args:
        original: The model's own variable, float32.
        small: float16 or int8, of the same shape.
        scale: float32, one number to each column or each row; `None`: 1.
    """

    original: tf.Variable
    small: tf.Variable
    scale: tf.Variable | None = None

    def value(self) -> tf.Tensor:
        """The weight in float32."""
        value = tf.cast(self.small, tf.float32)
        return value if self.scale is None else value * self.scale


class SmallWeights:
    """A model's weights, rounded to what is stored of them.

    `float16` stores every weight in half of the space. `int8` stores matrices in a
    quarter, as whole numbers from -127 to 127 and a scale for each column or, where
    that errs less (embeddings), each row; vectors stay as they are.

    The given variables are set to the rounded values: whatever reads them computes
    from here on what a graph traced within `in_place` computes.

    Args:
        variables: The model's variables. Those that are not float32, or that have a
            value which float16 cannot hold, stay as they are.
        form: `"float16"` or `"int8"`.
    """

    def __init__(self, variables: Sequence[tf.Variable], form: SmallForm) -> None:
        self.form = form
        self._stored: list[Stored] = []
        self._kept: list[tf.Variable] = []
        for variable in variables:
            stored = _stored(variable, form)
            if stored is None:
                self._kept.append(variable)
            else:
                variable.assign(stored.value())
                self._stored.append(stored)

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables that a SavedModel holds in place of the model's."""
        small = [stored.small for stored in self._stored]
        scales = [s.scale for s in self._stored if s.scale is not None]
        return [*self._kept, *small, *scales]

    @property
    def float32_bytes(self) -> int:
        """What the model's own variables take."""
        return _bytes([*self._kept, *(stored.original for stored in self._stored)])

    @property
    def stored_bytes(self) -> int:
        """What is stored."""
        return _bytes(self.variables)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """In a graph that is traced within it, the model reads the stored weights.

        Each is made float32 once a call, before any loop. A read that went past it
        would refer to the model's own variable, which saving then refuses: it is not
        part of the SavedModel.
        """
        with contextlib.ExitStack() as reads:
            for stored in self._stored:
                reads.enter_context(_read_as(stored.original, stored.value()))
            yield


@dataclass(frozen=True)
class Smaller:
    """Small weights and what they cost.

    Args:
        weights: The weights.
        before: Metrics on the validation rows with float32 weights; may be empty.
        after: The same with the small weights.
    """

    weights: SmallWeights
    before: Mapping[str, float]
    after: Mapping[str, float]

    def facts(self) -> dict[str, Any]:
        """What export.json says of the weights."""
        weights = self.weights
        return {
            "form": weights.form,
            "bytes": weights.stored_bytes,
            "float32_bytes": weights.float32_bytes,
            "metrics": {"float32": dict(self.before), weights.form: dict(self.after)},
        }


def quantised(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix as int8 and a float32 scale that is broadcast over it.

    Symmetric rounding, `round(127 * w / max|w|)`, with the maximum of each column (the
    last axis) or each row (the first), whichever errs less.

    >>> matrix = np.array([[1.27, -0.0127], [0.5, 0.005]], np.float32)
    >>> whole, scale = quantised(matrix)
    >>> whole.tolist()
    [[127, -127], [50, 50]]
    """
    columns, rows = (_rounded(values, axis) for axis in (values.ndim - 1, 0))
    errors = [
        np.square(values - whole * scale).sum() for whole, scale in (columns, rows)
    ]
    return columns if errors[0] <= errors[1] else rows


def _rounded(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    others = tuple(other for other in range(values.ndim) if other != axis)
    largest = np.abs(values).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
    whole = np.clip(np.rint(values / scale), -_LARGEST, _LARGEST)
    return whole.astype(np.int8), scale


def _stored(variable: tf.Variable, form: SmallForm) -> Stored | None:
    """A variable as it is stored small; `None` where it stays as it is."""
    if variable.dtype != tf.float32:
        return None
    values = variable.numpy()
    if form == "int8":
        if values.ndim < 2:
            return None
        whole, scale = quantised(values)
        return Stored(variable, tf.Variable(whole), tf.Variable(scale))
    if not (np.abs(values) <= np.finfo(np.float16).max).all():
        return None
    return Stored(variable, tf.Variable(values.astype(np.float16)))


@contextlib.contextmanager
def _read_as(variable: tf.Variable, value: tf.Tensor) -> Iterator[None]:
    """Within it, reads of a variable give a tensor: the three ways TensorFlow has.

    A lookup is put where the variable's handle is: that is the tensor, too.
    """
    attributes = vars(variable)
    before = dict(attributes)
    attributes.update(
        _handle=value,
        _read_variable_op=lambda no_copy=False: value,
        sparse_read=lambda indices, name=None: tf.gather(value, indices, name=name),
        gather_nd=lambda indices, name=None: tf.gather_nd(value, indices, name=name),
    )
    try:
        yield
    finally:
        attributes.clear()
        attributes.update(before)


def _bytes(variables: Sequence[tf.Variable]) -> int:
    return sum(v.shape.num_elements() * v.dtype.size for v in variables)
