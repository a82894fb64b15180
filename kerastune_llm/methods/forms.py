"""The forms in which delta methods are written into an adapter's folder.

A method that PEFT knows declares its form in its class: `form = Form("LORA", …)`. Any
other has the package's own, made from its registered name and its fields, so that a
new method is saved and opened without a line about it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerastune_llm.errors import UserError
from kerastune_llm.methods.method import DeltaMethod
from kerastune_llm.registry import METHODS

if TYPE_CHECKING:
    import numpy as np

    from kerastune_llm.backend import transformers
    from kerastune_llm.models.layout import Layout

    Tensors = Mapping[str, np.ndarray]
    ModelValues = Callable[
        [Any, Layout, transformers.PretrainedConfig], Mapping[str, object]
    ]

OWN_TYPE = "KERASTUNE_"


@dataclass(frozen=True)
class Form:
    """How one method is written down; several methods may share a form.

    Args:
        peft_type: What `adapter_config.json` calls it.
        method: Name of the registered method it is read as.
        fields: Names of the hyper-parameters in the file, with ours, one to one;
            without `modules_to_save`, which every form has.
        model_values: `(method, layout, model_config)` to values of the file that depend
            on the model; they go before those of `fields`.
        pack: `(values by our parameter names, sites)` to tensors by the file's keys,
            where they are not the same ones under other names.
        unpack: `(tensors by the file's keys, sites, the file's settings)` back to
            values by our names.
    """

    peft_type: str
    method: str
    fields: Mapping[str, str]
    model_values: "ModelValues" = lambda method, layout, model_config: {}
    pack: "Callable[[Tensors, tuple[str, ...]], Tensors] | None" = None
    unpack: "Callable[[Tensors, tuple[str, ...], Mapping], Tensors] | None" = None

    @property
    def is_pefts(self) -> bool:
        """Whether PEFT opens it."""
        return not self.peft_type.startswith(OWN_TYPE)


def form_of(method: type[DeltaMethod]) -> Form:
    """The form a method's class declares, else the package's own for it.

    >>> form_of(METHODS.get("dora")).peft_type
    'LORA'

    Raises:
        UserError: The class is not registered, so no file could name it.
    """
    declared = getattr(method, "form", None)
    if declared is not None:
        return declared
    for name in METHODS.names():
        if METHODS.get(name) is method:
            own = (field.name for field in dataclasses.fields(method))
            fields = {field: field for field in own if field != "modules_to_save"}
            return Form(f"{OWN_TYPE}{name.upper()}", name, fields)
    raise UserError(
        "An adapter is opened by the name of its method, and this one has none.",
        accepted=", ".join(METHODS.names()),
        received=method.__name__,
        mend='@METHODS.register("name") above the class',
    )


def forms() -> dict[str, Form]:
    """The forms of all registered delta methods by `peft_type`.

    >>> forms()["LORA"].fields["r"]
    'rank'
    """
    methods = map(METHODS.get, METHODS.names())
    found = [form_of(method) for method in methods if issubclass(method, DeltaMethod)]
    return {form.peft_type: form for form in found}
