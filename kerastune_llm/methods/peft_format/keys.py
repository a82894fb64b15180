"""The names of tensors in `adapter_model.safetensors`, in both directions."""

from collections.abc import Collection, Mapping
from typing import TypeVar

from kerastune_llm.models.layout import module_of

Value = TypeVar("Value")

WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_MAGNITUDE = ".lora_magnitude_vector"


def peft_key(name: str, sites: Collection[str]) -> str:
    """PEFT's key of a parameter.

    >>> peft_key("encoder.q.lora_A.weight", {"encoder.q"})
    'base_model.model.encoder.q.lora_A.weight'
    >>> peft_key("encoder.q.bias", {"encoder.q"})
    'base_model.model.encoder.q.base_layer.bias'
    """
    module = module_of(name)
    if module in sites and name == f"{module}.bias":
        name = f"{module}.base_layer.bias"
    return _PREFIX + name


def peft_tensors(
    values: Mapping[str, Value], sites: Collection[str]
) -> dict[str, Value]:
    """Values by parameter name under PEFT's keys.

    Args:
        values: By parameter name.
        sites: Modules that a layer of the method stands in the place of.
    """
    return {peft_key(name, sites): value for name, value in values.items()}


def parameter_values(
    stored: Mapping[str, Value],
    sites: Collection[str] = (),
    settings: Mapping[str, object] | None = None,
) -> dict[str, Value]:
    """Stored values by parameter name, without the copies that PEFT adds.

    The reverse of `peft_tensors`; it needs no sites and no settings.

    With `bias="all"` PEFT writes a saved module's bias three times: its own, and both
    of the wrapper's, of which one is the untrained original.

    >>> parameter_values({"base_model.model.encoder.q.base_layer.bias": 1})
    {'encoder.q.bias': 1}
    """
    values: dict[str, Value] = {}
    for key, value in stored.items():
        if ".original_module." in key:
            continue
        if ".modules_to_save." in key:
            plain = key.replace(".modules_to_save.", ".")
            if plain in stored:
                continue
            key = plain
        name = key.removeprefix(_PREFIX).replace(".base_layer.", ".")
        if name.endswith(f"{_MAGNITUDE}.weight"):
            name = name.removesuffix(".weight")
        values[name] = value
    return values
