"""Writing an adapter: the change of a model and what trains with it."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError
from kerastune_llm.methods.forms import form_of
from kerastune_llm.methods.method import DeltaMethod
from kerastune_llm.methods.peft_format.config import CONFIG_FILE, config_values
from kerastune_llm.methods.peft_format.keys import WEIGHTS_FILE, peft_tensors
from kerastune_llm.models.delta_layers import delta_layers
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.sources import model_name
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.models.whole_folder import whole_folder

logger = logging.getLogger(__name__)


def save_adapter(
    model: keras.Model,
    folder: str | Path,
    *,
    base_model: str,
    method: DeltaMethod | None = None,
) -> None:
    """Write the change of a model, and its trained head, as PEFT opens it.

    For a method that PEFT does not have, the files are of the same kind and say so.

    Args:
        model: A model that a delta method was applied to.
        folder: Where to; made when absent. An earlier adapter there is replaced, other
            files are kept; on failure the folder is as it was.
        base_model: Hub id or path of the model under the adapter, which PEFT loads; of
            a bundled model its folder is written.
        method: The method, for one that put no layers into this model, as BitFit into
            a model with biases; where there are layers, theirs is saved.

    Raises:
        UserError: The model has no such change, or the place cannot be written.
    """
    method = _method_of(model, method)
    values = config_values(method, model, base_model=model_name(base_model))
    form, tensors = form_of(type(method)), _tensors(model, method)
    with whole_folder(
        folder,
        marker=CONFIG_FILE,
        replaced=(CONFIG_FILE, "adapter_model.*"),
        what="adapter",
    ) as new:
        text = json.dumps(values, indent=2, sort_keys=True)
        (new / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
        _write_tensors(tensors, new / WEIGHTS_FILE)
    whose = "" if form.is_pefts else f"; PEFT has no form for {form.method}"
    logger.info("adapter saved in %s%s", folder, whose)


def _method_of(model: keras.Model, given: DeltaMethod | None) -> DeltaMethod:
    """The method of the model's layers; where it has none, the given one."""
    layers = delta_layers(model)
    if layers:
        return layers[0].method
    if given is not None:
        return given
    raise UserError(
        "The model has no adapter to save.",
        accepted="a model after apply_method(model, 'lora') or load_adapter",
        mend="save_model(model, …) for a whole model; save_adapter(model, …, "
        "method=BitFit()) for a method that adds no layers to this model",
    )


def _tensors(model: keras.Model, method: DeltaMethod) -> Mapping[str, np.ndarray]:
    """What the method trains, by the keys of its form."""
    layout = layout_of(model)
    names = layout.part("delta") | method.trainable_names(layout)
    parameters = torch_parameters(model).items()
    values = {name: p.to_torch() for name, p in parameters if name in names}
    pack = form_of(type(method)).pack or peft_tensors
    return pack(values, method.sites(layout))


def _write_tensors(tensors: Mapping[str, np.ndarray], file: Path) -> None:
    """Write a safetensors file and wait until it is on the disk."""
    with file.open("wb") as out:
        out.write(save(dict(tensors), metadata={"format": "pt"}))
        out.flush()
        os.fsync(out.fileno())
