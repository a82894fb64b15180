"""Writing an adapter: the change of a model and what trains with it."""

import dataclasses
import json
import logging
from pathlib import Path

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError
from kerastune_llm.methods.peft_format.config import CONFIG_FILE, config_values
from kerastune_llm.methods.peft_format.keys import WEIGHTS_FILE, peft_key
from kerastune_llm.models.delta_layers import delta_layers
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.safetensors_writer import write_safetensors
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.models.whole_folder import whole_folder

logger = logging.getLogger(__name__)


def save_adapter(model: keras.Model, folder: str | Path, *, base_model: str) -> None:
    """Write the change of a model, and its trained head, as PEFT opens it.

    Args:
        model: A model that LoRA, DoRA or IA3 was applied to.
        folder: Where to; made when absent. An earlier adapter there is replaced, other
            files are kept; on failure the folder is as it was.
        base_model: Hub id or path of the model under the adapter, which PEFT loads.

    Raises:
        UserError: The model has no such change, or the place cannot be written.
    """
    layers = delta_layers(model)
    if not layers:
        raise UserError(
            "The model has no adapter to save.",
            accepted="a model after apply_method(model, 'lora') or load_adapter",
            mend="save_model(model, …) for a whole model",
        )
    method, layout = layers[0].method, layout_of(model)
    values = config_values(method, layout, base_model=base_model)
    sites = set(method.sites(layout))
    names = layout.part("delta") | method.trainable_names(layout)
    parameters = [
        dataclasses.replace(parameter, name=peft_key(name, sites))
        for name, parameter in torch_parameters(model).items()
        if name in names
    ]
    with whole_folder(
        folder,
        marker=CONFIG_FILE,
        replaced=(CONFIG_FILE, "adapter_model.*"),
        what="adapter",
    ) as new:
        text = json.dumps(values, indent=2, sort_keys=True)
        (new / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
        write_safetensors(parameters, new / WEIGHTS_FILE)
    logger.info("adapter saved in %s", folder)
