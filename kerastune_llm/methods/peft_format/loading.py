"""Reading an adapter into a model: everything is checked before anything changes."""

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import check_plain, make_layers, place_layers
from kerastune_llm.methods.forms import form_of
from kerastune_llm.methods.method import DeltaMethod
from kerastune_llm.methods.peft_format.config import (
    AdapterConfig,
    read_config,
    task_type,
)
from kerastune_llm.methods.peft_format.keys import WEIGHTS_FILE, parameter_values
from kerastune_llm.methods.targets import head_modules, saved_names
from kerastune_llm.models.delta_layers import DeltaLayer
from kerastune_llm.models.layout import Layout, layout_of
from kerastune_llm.models.load_report import shown
from kerastune_llm.models.same_model import compare_models
from kerastune_llm.models.stored_tensors import WEIGHT_DTYPES
from kerastune_llm.models.torch_layout import (
    TorchParameter,
    torch_name,
    torch_parameters,
)
from kerastune_llm.models.weight_files import unreadable

logger = logging.getLogger(__name__)

# PEFT names both for every classifier, whichever the model has.
PEFT_HEADS = ("classifier", "score")


def load_adapter(model: keras.Model, folder: str | Path) -> DeltaMethod:
    """Put an adapter, made here or by PEFT, onto its base model.

    The model then trains on from there as after `apply_method`.

    Args:
        model: A built model with the weights the adapter was trained on.
        folder: With `adapter_config.json` and `adapter_model.safetensors`.

    Returns:
        The method, with the adapter's hyper-parameters.

    Raises:
        UserError: Not an adapter, damaged, of another type, task or base model; the
            model is as it was.
    """
    folder = Path(folder).expanduser()
    config = read_config(folder)
    stored = _read_weights(folder / WEIGHTS_FILE)
    layout = layout_of(model)
    check_plain(layout)
    _check_task(config, layout)
    method = _with_saved_modules(config, layout)
    try:
        layers = make_layers(model, method, layout)
        own = method.trainable_names(layout)
    except UserError as error:
        raise _misfit(model, config, [str(error)]) from error
    unpack = form_of(type(method)).unpack or parameter_values
    values = unpack(stored, method.sites(layout), config.settings)
    parameters = _parameters(model, layers.values(), own | layout.fixed)
    optional = _optional(config, layout, own)
    _check_fit(model, config, parameters, values, optional)
    _check_base(model, config.base_model)
    for name, value in values.items():
        parameter = parameters[name]
        value = value.astype(parameter.variable.dtype.as_numpy_dtype)
        parameter.variable.assign(parameter.from_torch(value))
    place_layers(model, layers, own)
    return method


def _optional(
    config: AdapterConfig, layout: Layout, own: frozenset[str]
) -> frozenset[str]:
    """What an adapter may lack: buffers, and a head that PEFT was not told to save."""
    saved = saved_names(config.modules_to_save, layout, strict=False)
    head = saved_names(head_modules(layout), layout) - saved
    if getattr(config.method, "bias", "none") == "all":
        head = frozenset(name for name in head if not name.endswith(".bias"))
    return layout.fixed | (head & own)


def _with_saved_modules(config: AdapterConfig, layout: Layout) -> DeltaMethod:
    """The method with those saved modules that are not the model's head."""
    known = (*PEFT_HEADS, *head_modules(layout))
    saved = tuple(name for name in config.modules_to_save if name not in known)
    return dataclasses.replace(config.method, modules_to_save=saved)


def _read_weights(file: Path) -> dict[str, np.ndarray]:
    if not file.is_file():
        raise UserError(
            "The adapter has no weights.",
            accepted=f"{WEIGHTS_FILE} beside its configuration",
            received=str(file.parent),
            mend="save it with PEFT's safe_serialization=True; a .bin is a pickle and "
            "is not opened",
        )
    try:
        with safe_open(file, framework="numpy", backend="pread") as archive:
            return {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise unreadable(file, error) from error


def _parameters(
    model: keras.Model, layers: Iterable[DeltaLayer], own: Iterable[str]
) -> dict[str, TorchParameter]:
    """Everything an adapter may give a value, by name."""
    known = torch_parameters(model)
    parameters = {name: known[name] for name in own}
    for layer in layers:
        for variable in layer.delta_weights:
            name, transpose = torch_name(variable.name, tuple(variable.shape))
            parameters[name] = TorchParameter(name, variable, transpose)
    return parameters


def _check_task(config: AdapterConfig, layout: Layout) -> None:
    own = task_type(layout)
    if config.task_type and config.task_type != own:
        raise UserError(
            "The adapter is for another task.",
            accepted=f"task_type {own}, which this {layout.model_type} does",
            received=f"task_type {config.task_type}",
            mend="load the model with the adapter's kind of head",
        )


def _check_fit(
    model: keras.Model,
    config: AdapterConfig,
    parameters: Mapping[str, TorchParameter],
    values: Mapping[str, np.ndarray],
    optional: Iterable[str],
) -> None:
    missing = sorted(parameters.keys() - values.keys() - set(optional))
    extra = sorted(values.keys() - parameters.keys())
    misshapen = [
        f"{name} {list(value.shape)} here {list(parameters[name].shape)}"
        for name, value in values.items()
        if name in parameters and value.shape != parameters[name].shape
    ]
    integers = sorted(n for n, v in values.items() if v.dtype.name not in WEIGHT_DTYPES)
    problems = [
        f"{words} {shown(names, 3)}"
        for words, names in (
            ("missing:", missing),
            ("without a place in the model:", extra),
            ("of another shape:", misshapen),
            ("quantised:", integers),
        )
        if names
    ]
    if problems:
        raise _misfit(model, config, problems)


def _check_base(model: keras.Model, base_model: str) -> None:
    """Refuse an adapter of another model whose shapes happen to be the same."""
    own = _name_of(model)
    kinship = compare_models(base_model, own)
    if kinship == "different":
        raise UserError(
            "The adapter was trained on another model than this one.",
            accepted=f"an adapter of {own}",
            received=f"an adapter of {base_model}",
            mend=f"--model {base_model}; for another copy of that model, name it in "
            "adapter_config.json as base_model_name_or_path",
        )
    if kinship == "unknown":
        logger.warning(
            "The adapter was trained on %s and this model is %s; the shapes agree.",
            base_model or "a model without a name",
            own or "without a name",
        )


def _misfit(
    model: keras.Model, config: AdapterConfig, problems: Iterable[str]
) -> UserError:
    return UserError(
        "The adapter does not fit this model.",
        accepted=f"an adapter of {_name_of(model) or model.config.model_type}",
        received=f"an adapter of {config.base_model or 'a model without a name'}; "
        + "; ".join(problems),
        mend="load the model that the adapter was trained on",
    )


def _name_of(model: keras.Model) -> str:
    return model.config.name_or_path or ""
