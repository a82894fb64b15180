"""`adapter_config.json`: a method's hyper-parameters under PEFT's names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastune_llm.errors import UserError
from kerastune_llm.methods.ia3 import IA3
from kerastune_llm.methods.lora import LoRA
from kerastune_llm.methods.method import DeltaMethod, make_method
from kerastune_llm.methods.targets import ALL_LINEAR, head_modules
from kerastune_llm.models.layout import Layout

CONFIG_FILE = "adapter_config.json"
# PEFT's task for a head and for text to text.
CLASSIFICATION, TEXT_TO_TEXT = "SEQ_CLS", "SEQ_2_SEQ_LM"

# Our field under PEFT's name, per type; both sides are one to one.
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "LORA": {
        "r": "rank",
        "lora_alpha": "alpha",
        "lora_dropout": "dropout",
        "use_rslora": "use_rslora",
        "use_dora": "use_dora",
        "bias": "bias",
        "target_modules": "target_modules",
        "modules_to_save": "modules_to_save",
    },
    "IA3": {
        "target_modules": "target_modules",
        "feedforward_modules": "feedforward_modules",
        "modules_to_save": "modules_to_save",
    },
}
_METHODS = {"LORA": "lora", "IA3": "ia3"}
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
    """

    method: DeltaMethod
    modules_to_save: tuple[str, ...]
    base_model: str
    task_type: str


def task_type(layout: Layout) -> str:
    """PEFT's name for the model's task."""
    return CLASSIFICATION if layout.is_classifier else TEXT_TO_TEXT


def config_values(
    method: DeltaMethod, layout: Layout, *, base_model: str
) -> dict[str, Any]:
    """What `adapter_config.json` holds for a method applied to a model.

    Raises:
        UserError: PEFT has no form for the method.
    """
    kind = _kind_of(method)
    values = {peft: getattr(method, own) for peft, own in _FIELDS[kind].items()}
    targets = method.targets(layout)
    # PEFT would look for all linear layers itself, and the two frameworks' differ.
    values["target_modules"] = _listed(
        method.sites(layout) if targets == ALL_LINEAR else targets
    )
    saved = (*method.modules_to_save, *head_modules(layout))
    values["modules_to_save"] = sorted(set(saved)) or None
    if isinstance(method, IA3):
        values["feedforward_modules"] = _listed(method.feedforward(layout))
    return {
        "base_model_name_or_path": base_model,
        "inference_mode": True,
        "peft_type": kind,
        "task_type": task_type(layout),
        **values,
    }


def read_config(folder: Path) -> AdapterConfig:
    """Read and check a folder's `adapter_config.json`.

    Raises:
        UserError: None there, not readable, another type of adapter, or a setting that
            is not supported.
    """
    values = _read_json(folder / CONFIG_FILE)
    kind = values.get("peft_type")
    if kind not in _FIELDS:
        raise UserError(
            "This type of adapter is not supported.",
            accepted=f"peft_type {' or '.join(sorted(_FIELDS))}",
            received=f"{folder / CONFIG_FILE}: peft_type {kind}",
        )
    _check_settings(values)
    own = _FIELDS[kind]
    options = {own[k]: v for k, v in values.items() if k in own and v is not None}
    saved = tuple(options.pop("modules_to_save", ()))
    return AdapterConfig(
        method=make_method(_METHODS[kind], options),
        modules_to_save=saved,
        base_model=values.get("base_model_name_or_path") or "",
        task_type=values.get("task_type") or "",
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


def _check_settings(values: Mapping[str, Any]) -> None:
    given = [f"{name}={values[name]}" for name in _UNSUPPORTED if values.get(name)]
    start = values.get("init_lora_weights")
    if isinstance(start, str) and start.startswith(_CHANGED_BASE):
        given.append(f"init_lora_weights={start}")
    if given:
        raise UserError(
            "The adapter uses settings of PEFT that are not supported.",
            accepted=f"{', '.join(_FIELDS[values['peft_type']])}",
            received=", ".join(given),
            mend="merge the adapter into its model with PEFT and load the whole model",
        )


def _kind_of(method: DeltaMethod) -> str:
    if isinstance(method, LoRA):
        return "LORA"
    if isinstance(method, IA3):
        return "IA3"
    raise UserError(
        "PEFT has no form for this method.",
        accepted="lora, dora or ia3",
        received=type(method).__name__,
    )


def _listed(targets: tuple[str, ...] | str) -> list[str] | str:
    return targets if isinstance(targets, str) else sorted(targets)
