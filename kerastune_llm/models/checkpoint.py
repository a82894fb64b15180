"""Saving a model as the folder that Hugging Face's libraries open, PyTorch's included.

The folder is written beside its place and moved there when it is complete: a full
disk or a kill leaves the earlier folder as it was.
"""

import copy
import logging
import os
import re
from pathlib import Path

from kerastune_llm.backend import keras, tf, transformers
from kerastune_llm.errors import UserError
from kerastune_llm.models.delta_layers import delta_layers
from kerastune_llm.models.safetensors_writer import write_weights
from kerastune_llm.models.tokenizer import VOCABULARY_FILES
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.models.whole_folder import whole_folder

logger = logging.getLogger(__name__)

# What a save replaces; anything else in an earlier folder is kept.
_MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tf_model*.h5",
    "tf_model.h5.index.json",
)
_TOKENIZER_FILES = (
    *VOCABULARY_FILES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "target.spm",
)


def save_model(
    model: keras.Model,
    tokenizer: transformers.PreTrainedTokenizerBase | None,
    directory: str | Path,
    *,
    max_shard_bytes: int = 5 * 10**9,
    dtype: str | None = None,
) -> None:
    """Write a model, in PyTorch's names and shapes, and its tokenizer into a folder.

    Args:
        model: A built model of transformers.
        tokenizer: Its tokenizer; with `None` an earlier one in the folder is kept.
        directory: The folder; made when it is absent. An earlier model there is
            replaced, other files in it are kept.
        max_shard_bytes: Above this the weights are split into several files.
        dtype: What the weights are written in, such as `"float16"`; default: their
            own.

    Raises:
        UserError: The place is a file, holds something other than a model, or cannot
            be written; or the model has a method's layers. The earlier folder is then
            as it was.
    """
    _check_plain(model)
    parameters = list(torch_parameters(model).values())
    stored = tf.as_dtype(dtype) if dtype is not None else None
    replaced = _TOKENIZER_FILES if tokenizer is not None else ()
    with whole_folder(
        directory,
        marker="config.json",
        replaced=_MODEL_FILES + replaced,
        what="model",
    ) as new:
        # The small files first: a full disk then shows in the weights, whose writer
        # says so, not inside a library.
        if tokenizer is not None:
            _save_tokenizer(tokenizer, new)
        _write_configs(model, new, dtype or model.weights[0].dtype.name)
        write_weights(parameters, new, max_shard_bytes=max_shard_bytes, dtype=stored)
    logger.info("model saved in %s", Path(directory).expanduser().absolute())


def _save_tokenizer(
    tokenizer: transformers.PreTrainedTokenizerBase, folder: Path
) -> None:
    try:
        tokenizer.save_pretrained(folder)
    except Exception as error:
        # The tokenizers library raises a bare Exception for every failing write.
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        number = int(found.group(1))
        raise OSError(number, os.strerror(number)) from error


def _check_plain(model: keras.Model) -> None:
    if delta_layers(model):
        raise UserError(
            "The model has the layers of a delta method, which no model file holds.",
            mend="merge_delta(model) first, or save_adapter(model, folder) to keep "
            "the change apart",
        )


def _write_configs(model: keras.Model, folder: Path, dtype: str) -> None:
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__.removeprefix("TF")]
    config.dtype = dtype
    # Not `save_pretrained` of either: one warns of generation settings in the model's
    # configuration, the other refuses settings that it read (a temperature without
    # sampling). A trained model must not be lost over them.
    texts = {"config.json": config.to_json_string(use_diff=True)}
    if model.can_generate():
        settings = model.generation_config
        texts["generation_config.json"] = settings.to_json_string(use_diff=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
