"""Loading models: a Hugging Face checkpoint becomes a Keras model, ready to call."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kerastune_llm.backend import keras, transformers
from kerastune_llm.errors import UserError
from kerastune_llm.models.building import build_model, redraw_twins
from kerastune_llm.models.head_bias import begin_at_shares
from kerastune_llm.models.load_report import LoadReport
from kerastune_llm.models.model_config import (
    ModelKind,
    class_for,
    kind_of,
    load_config,
    set_labels,
    supports_head,
)
from kerastune_llm.models.sources import resolve_source
from kerastune_llm.models.stored_tensors import (
    StoredTensor,
    find_tensors,
    read_tensors,
)
from kerastune_llm.models.tokenizer import load_tokenizer
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.models.weight_matching import Match, match

__all__ = [
    "LoadReport",
    "load_config",
    "load_model",
    "load_model_with_report",
    "load_tokenizer",
    "supports_head",
]

logger = logging.getLogger(__name__)


def load_model(
    source: str | Path,
    *,
    kind: ModelKind | None = None,
    labels: Sequence[str] | None = None,
    from_scratch: bool = False,
    seed: int | None = None,
    revision: str | None = None,
    shares: Sequence[float] | None = None,
) -> keras.Model:
    """A Keras model with the weights of a Hugging Face checkpoint, ready to call.

    Args:
        source: What `resolve_source` takes: a folder, a bundled model or a hub id.
        kind: `"seq2seq"`, `"classification"`, `"regression"` or `"multilabel"`; by
            default what the checkpoint was saved as.
        labels: Names of the head's labels in index order; by default the
            checkpoint's own. A head for another number of labels starts anew.
        from_scratch: Random weights: only config.json is read.
        seed: Seed of Python, NumPy and TensorFlow, for the weights that start anew.
        revision: Branch, tag or commit on the hub.
        shares: For `"multilabel"`: the share of the rows with each label, at which a
            new head begins (see `models/head_bias.py`); by default all at a half.

    Raises:
        UserError: No such model, a kind the architecture does not have, or weights
            that lack more than the task's head.
    """
    model, report = load_model_with_report(
        source,
        kind=kind,
        labels=labels,
        from_scratch=from_scratch,
        seed=seed,
        revision=revision,
    )
    if from_scratch:
        logger.info("random weights (from scratch): no weights of %s are read", source)
    else:
        level = logging.WARNING if report.unplaced else logging.INFO
        logger.log(level, "%s: %s", source, "; ".join(report.words()))
    if shares is not None and begin_at_shares(model, report.new, shares):
        logger.info("the new head begins at the labels' shares of the training rows")
    return model


def load_model_with_report(
    source: str | Path,
    *,
    kind: ModelKind | None = None,
    labels: Sequence[str] | None = None,
    from_scratch: bool = False,
    seed: int | None = None,
    revision: str | None = None,
) -> tuple[keras.Model, LoadReport]:
    """`load_model`, and what became of each name of the checkpoint."""
    config = load_config(source, revision=revision)
    kind = kind or kind_of(config)
    model_class = class_for(config, kind)
    set_labels(config, kind, labels)
    folder = resolve_source(source, revision=revision, with_weights=not from_scratch)
    tensors = {} if from_scratch else find_tensors(folder)
    model = build_model(model_class, config, seed=seed)
    _read_generation_config(model, folder)
    if from_scratch:
        redraw_twins(model)
        return model, LoadReport(missing=tuple(torch_parameters(model)))
    return model, load_weights(model, tensors)


def load_weights(model: keras.Model, tensors: Mapping[str, StoredTensor]) -> LoadReport:
    """Give a built model the values of a checkpoint, one tensor at a time.

    Names, shapes and dtypes are checked before the first variable is changed.

    Args:
        model: A built model.
        tensors: What `find_tensors` found in the checkpoint's folder.

    Raises:
        UserError: The checkpoint is not this model's, or a file is damaged.
    """
    matches, report = match(model, tensors)
    waiting: dict[StoredTensor, list[Match]] = {}
    for pair in matches:
        waiting.setdefault(pair.stored, []).append(pair)
    for stored, value in read_tensors(waiting):
        for pair in waiting[stored]:  # Two for the one matrix of an untied T5.
            _assign(pair, value)
    return report


def _assign(pair: Match, value: np.ndarray) -> None:
    variable = pair.parameter.variable
    if pair.stored.layout == "torch":
        value = pair.parameter.from_torch(value)
    else:
        value = value.reshape(variable.shape)
    # In numpy: TensorFlow has no fast cast of float16 on most CPUs, and says so.
    variable.assign(value.astype(variable.dtype.as_numpy_dtype))


def _read_generation_config(model: keras.Model, folder: Path) -> None:
    file = folder / "generation_config.json"
    if not model.can_generate() or not file.is_file():
        return
    try:
        settings = transformers.GenerationConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UserError(
            f"generation_config.json is not readable: {error}",
            received=str(file),
            mend="fetch it again, or remove it",
        ) from error
    model.generation_config = settings
