"""`adapter_config.json`: a method's hyper-parameters under the names of its form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError
from kerastune_llm.methods.forms import Form, form_of, forms
from kerastune_llm.methods.method import DeltaMethod, make_method
from kerastune_llm.methods.targets import head_modules
from kerastune_llm.models.layout import Layout, layout_of

CONFIG_FILE = "adapter_config.json"
# PEFT's task for a head and for text to text.
CLASSIFICATION, TEXT_TO_TEXT = "SEQ_CLS", "SEQ_2_SEQ_LM"
OWN_NOTE = (
    "The form of kerastune_llm's method {}: PEFT has none for it and cannot open this."
)

# Settings of PEFT that change what the weights mean and that are not offered here.
_UNSUPPORTED = (
    "alpha_pattern",
    "alora_invocation_tokens",
    "arrow_config",
    "exclude_modules",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_bias",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_qalora",
    "velora_config",
)
# These start from a changed base model, which the adapter alone does not have.
_CHANGED_BASE = ("pissa", "olora", "corda", "loftq")


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter's configuration says.

    Args:
        method: The method, with the file's hyper-parameters.
        modules_to_save: Modules that PEFT saved whole, heads included.
        base_model: Name or path of the model it was trained on; may be empty.
        task_type: PEFT's task; empty where none is given.
        settings: Everything the file says.
    """

    method: DeltaMethod
    modules_to_save: tuple[str, ...]
    base_model: str
    task_type: str
    settings: Mapping[str, Any]


def task_type(layout: Layout) -> str:
    """PEFT's name for the model's task."""
    return CLASSIFICATION if layout.is_classifier else TEXT_TO_TEXT


def config_values(
    method: DeltaMethod, model: keras.Model, *, base_model: str
) -> dict[str, Any]:
    """What `adapter_config.json` holds for a method applied to a model.

    Raises:
        UserError: The method is not a registered one.
    """
    form, layout = form_of(type(method)), layout_of(model)
    values = {name: getattr(method, field) for name, field in form.fields.items()}
    if not form.is_pefts:
        values["note"] = OWN_NOTE.format(form.method)
    saved = (*method.modules_to_save, *head_modules(layout))
    return {
        "base_model_name_or_path": base_model,
        "inference_mode": True,
        "peft_type": form.peft_type,
        "task_type": task_type(layout),
        **values,
        **form.model_values(method, layout, model.config),
        "modules_to_save": sorted(set(saved)) or None,
    }


def read_config(folder: Path) -> AdapterConfig:
    """Read and check a folder's `adapter_config.json`.

    Raises:
        UserError: None there, not readable, another type of adapter, or a setting that
            is not supported.
    """
    values = _read_json(folder / CONFIG_FILE)
    known = forms()
    form = known.get(str(values.get("peft_type")))
    if form is None:
        raise UserError(
            "This type of adapter is not supported.",
            accepted=f"peft_type {', '.join(sorted(known))}",
            received=f"{folder / CONFIG_FILE}: peft_type {values.get('peft_type')}",
        )
    _check_settings(values, form)
    given = {k: v for k, v in values.items() if v is not None}
    options = {own: given[name] for name, own in form.fields.items() if name in given}
    return AdapterConfig(
        method=make_method(form.method, options),
        modules_to_save=tuple(given.get("modules_to_save", ())),
        base_model=given.get("base_model_name_or_path", ""),
        task_type=given.get("task_type", ""),
        settings=values,
    )


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise UserError(
            "The folder has no adapter.",
            accepted=f"a folder with {CONFIG_FILE} and adapter_model.safetensors",
            received=str(file.parent),
        )
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            "The adapter's configuration is not readable.",
            accepted="a JSON object",
            received=f"{file} ({error})",
        ) from error
    if not isinstance(values, dict):
        raise UserError(
            "The adapter's configuration is no JSON object.", received=str(file)
        )
    return values


def _check_settings(values: Mapping[str, Any], form: Form) -> None:
    given = [f"{name}={values[name]}" for name in _UNSUPPORTED if values.get(name)]
    start = values.get("init_lora_weights")
    if isinstance(start, str) and start.startswith(_CHANGED_BASE):
        given.append(f"init_lora_weights={start}")
    if given:
        raise UserError(
            "The adapter uses settings of PEFT that are not supported.",
            accepted=", ".join(form.fields),
            received=", ".join(given),
            mend="merge the adapter into its model with PEFT and load the whole model",
        )
