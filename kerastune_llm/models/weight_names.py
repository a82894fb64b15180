"""The names one weight goes by in the checkpoints of different classes and versions."""

from collections.abc import Iterator

from kerastune_llm.backend import keras
from kerastune_llm.models.torch_layout import TorchParameter, torch_name

# Levels below which a model's body lies when its names have no base prefix.
_BODY_LEVELS = ("encoder", "decoder", "shared")
# Heads that are there whatever the number of labels.
_FIXED_HEADS = ("pooler", "cls", "lm_head", "final_logits_bias")
# What PyTorch keeps beside the weights: buffers it computes, parts nobody uses.
_NOT_WEIGHTS = (
    "position_ids",
    "token_type_ids",
    "attn.bias",
    "masked_bias",
    "crossattention.bias",
    "inv_freq",
    "EncDecAttention.relative_attention_bias.weight",
)
# Sinusoids, computed here from the configuration; some PyTorch versions save none.
_COMPUTED_POSITIONS = ("marian", "pegasus", "roformer")
# TensorFlow's class has them, no answer depends on them, and PyTorch's has not.
_UNUSED = {"mpnet": "mpnet.pooler."}


def spellings(model: keras.Model, parameter: TorchParameter) -> Iterator[str]:
    """Names that a checkpoint may have for a variable, the best first.

    Beside its own: without the base model's prefix (`BertModel` saved alone), with it,
    those of tied parameters, and the one with TensorFlow's further level.
    """
    prefix = f"{model.base_model_prefix}."
    seen = set()
    for alias in _aliases(model, parameter):
        bare = alias.removeprefix(prefix)
        for spelling in (alias, bare, prefix + bare):
            if spelling not in seen:
                seen.add(spelling)
                yield spelling


def is_head(model: keras.Model, name: str) -> bool:
    """Whether a PyTorch name belongs to a task's head rather than to the body.

    A head may be missing from a checkpoint; the body may not.
    """
    levels = name.split(".")
    body = {model.base_model_prefix, *_BODY_LEVELS}
    return levels[0] not in body or not set(levels).isdisjoint(_FIXED_HEADS)


def is_label_head(model: keras.Model, name: str) -> bool:
    """Whether a weight's shape follows from the number of labels."""
    return is_head(model, name) and set(name.split(".")).isdisjoint(_FIXED_HEADS)


def is_dispensable(model: keras.Model, name: str) -> bool:
    """Whether a variable is right without a value from the checkpoint.

    The model computes it, has it at zero, or does not use it.
    """
    model_type = model.config.model_type
    sinusoid = model_type in _COMPUTED_POSITIONS
    return (
        name.endswith("final_logits_bias")
        or (sinusoid and name.endswith("embed_positions.weight"))
        or (model_type in _UNUSED and name.startswith(_UNUSED[model_type]))
    )


def is_no_weight(name: str) -> bool:
    """Whether PyTorch has it in a checkpoint without any model needing it."""
    return name.endswith(_NOT_WEIGHTS)


def crosses_output(model: keras.Model, name: str, spelling: str) -> bool:
    """Whether an untied model would take its output layer from the embedding or back.

    transformers 5 saves a T5 whose two matrices are equal as one.
    """
    untied = getattr(model, "lm_head", None) is not None
    return untied and spelling.endswith("lm_head.weight") != (name == "lm_head.weight")


def _aliases(model: keras.Model, parameter: TorchParameter) -> Iterator[str]:
    name = parameter.name
    rename = getattr(model, "tf_to_pt_weight_rename", None)
    if rename is not None:
        yield from rename(name) or ()
    yield name
    if name.endswith("shared.weight"):
        root = name.removesuffix("shared.weight")
        yield root + "encoder.embed_tokens.weight"
        yield root + "decoder.embed_tokens.weight"
        yield "lm_head.weight"
    elif name == "lm_head.weight":
        yield "shared.weight"
        yield "encoder.embed_tokens.weight"
        yield "decoder.embed_tokens.weight"
    elif name.endswith(("predictions.bias", "lm_head.bias")):
        yield name.removesuffix("bias") + "decoder.bias"
    variable = parameter.variable
    yield torch_name(variable.name, tuple(variable.shape))[0]
