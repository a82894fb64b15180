"""Which stored tensor belongs to which variable of a model, decided before any change.

`match` pairs them by name and shape, and refuses what would leave the model silently
wrong: a part of its body random, or a matrix that two others were saved as.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError
from kerastune_llm.models.load_report import LoadReport, shown
from kerastune_llm.models.stored_tensors import (
    WEIGHT_DTYPES,
    StoredTensor,
    read_tensors,
)
from kerastune_llm.models.torch_layout import TorchParameter, torch_parameters
from kerastune_llm.models.weight_names import (
    crosses_output,
    is_dispensable,
    is_head,
    is_label_head,
    is_no_weight,
    spellings,
)


@dataclass(frozen=True)
class Match:
    """A variable, the tensor it takes its value from, and further copies of that.

    Copies are tied parameters that PyTorch wrote out more than once.
    """

    parameter: TorchParameter
    stored: StoredTensor
    copies: tuple[StoredTensor, ...] = ()

    @property
    def own_shape(self) -> tuple[int, ...]:
        """The variable's shape in the layout of the stored tensor."""
        if self.stored.layout == "tensorflow":
            return tuple(self.parameter.variable.shape)
        return self.parameter.shape

    @property
    def fits(self) -> bool:
        """Whether the shapes agree, but for axes of length one."""
        return _without_ones(self.own_shape) == _without_ones(self.stored.shape)

    def __str__(self) -> str:
        stored, own = list(self.stored.shape), list(self.own_shape)
        return f"{self.parameter.name}: {stored} here {own}"


def match(
    model: keras.Model, tensors: Mapping[str, StoredTensor]
) -> tuple[list[Match], LoadReport]:
    """Pair every variable of a built model with a stored tensor.

    Args:
        model: A built model; it is not changed.
        tensors: What `find_tensors` found in the checkpoint's folder.

    Raises:
        UserError: The checkpoint lacks more than the task's head, has other shapes,
            is quantised, or has two different matrices where the model has one.
    """
    parameters = torch_parameters(model)
    found = {
        own: [name for name in spellings(model, parameter) if name in tensors]
        for own, parameter in parameters.items()
    }
    pairs = [
        _pair(model, parameters[own], names, tensors)
        for own, names in found.items()
        if names
    ]
    used = {name for names in found.values() for name in names}
    left = [name for name in tensors if name not in used and not is_no_weight(name)]
    lacking = [own for own, names in found.items() if not names]
    report = LoadReport(
        loaded=sum(pair.fits for pair in pairs),
        missing=tuple(name for name in lacking if not is_dispensable(model, name)),
        mismatched=tuple(str(pair) for pair in pairs if not pair.fits),
        unexpected=tuple(name for name in left if is_head(model, name)),
        unplaced=tuple(name for name in left if not is_head(model, name)),
        copied=tuple(
            f"{own} from {names[0]}"
            for own, names in found.items()
            if names and crosses_output(model, own, names[0])
        ),
    )
    _check_missing(model, report)
    _check_stored(model, pairs)
    _check_tied(pairs)
    return [pair for pair in pairs if pair.fits], report


def _pair(
    model: keras.Model,
    parameter: TorchParameter,
    names: Sequence[str],
    tensors: Mapping[str, StoredTensor],
) -> Match:
    first, *others = names
    copies = (
        tensors[name]
        for name in others
        if not crosses_output(model, parameter.name, name)
    )
    return Match(parameter, tensors[first], tuple(copies))


def _check_missing(model: keras.Model, report: LoadReport) -> None:
    body = [name for name in report.missing if not is_head(model, name)]
    if body:
        raise UserError(
            f"The checkpoint lacks {len(body)} of the model's weights, "
            "more than the head of the task.",
            accepted="a checkpoint of this architecture and size",
            received=f"missing: {shown(body)}; without a place in the model: "
            f"{shown(report.unplaced + report.unexpected) or 'none'}",
            mend="another checkpoint, or --from-scratch to train from random weights",
        )


def _check_stored(model: keras.Model, pairs: Sequence[Match]) -> None:
    """Refuse other shapes (but for the head's number of labels) and integers."""
    misfits = [
        pair
        for pair in pairs
        if not pair.fits and not is_label_head(model, pair.parameter.name)
    ]
    if misfits:
        raise UserError(
            f"{len(misfits)} weights of the checkpoint have another shape than "
            "config.json describes.",
            received=shown(map(str, misfits)),
            mend="take config.json and the weights from the same checkpoint, or "
            "--from-scratch",
        )
    strange = {pair.stored.dtype for pair in pairs}.difference(WEIGHT_DTYPES)
    if strange:
        raise UserError(
            "The checkpoint is quantised.",
            accepted=f"weights as {', '.join(WEIGHT_DTYPES)}",
            received=", ".join(sorted(strange)),
            mend="take the checkpoint it was made from",
        )


def _check_tied(pairs: Sequence[Match]) -> None:
    """Refuse a checkpoint whose tied matrices have been trained apart."""
    for pair in pairs:
        if not pair.copies:
            continue
        (_, first), *others = read_tensors([pair.stored, *pair.copies])
        for copy, value in others:
            if not np.array_equal(first, value):
                raise UserError(
                    "Two matrices of the checkpoint differ that the TensorFlow class "
                    "has as one.",
                    accepted=f"a checkpoint with one {pair.parameter.name}",
                    received=f"{pair.stored.key} and {copy.key}",
                )


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)
