"""A prefix as PEFT keeps it: one matrix of all layers' keys and values.

PEFT views its `prompt_embeddings` `[num_virtual_tokens, num_layers · 2 · width]` as
`2 · num_layers` slots of `width` columns. An encoder's layer `i` reads slots `2i`
(keys) and `2i + 1` (values). For an encoder-decoder PEFT repeats the slots, deals them
out by four and drops the two that were for cross-attention (`get_prompt` in its
`peft_model.py`), so that the decoder's layer `i` reads slots `4i` and `4i + 1` modulo
`2 · num_layers`: with an even `num_layers`, layers share slots and half of them are
never read. An odd number gives each layer its own, which is what is written here.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastune_llm.errors import UserError

if TYPE_CHECKING:
    from kerastune_llm.backend import transformers
    from kerastune_llm.models.layout import Layout

Tensors = Mapping[str, np.ndarray]
PEFT_KEY = "prompt_embeddings"
_BASE = "base_model."
_PREFIX, _UP, _TABLE = ".prefix", ".prefix_up.", ".prefix_table."


def prefix_values(
    method: Any, layout: "Layout", model_config: "transformers.PretrainedConfig"
) -> Mapping[str, object]:
    """What PEFT's configuration of a prefix says about the model."""
    is_decoder = "decoder" in layout.blocks
    return {
        "encoder_hidden_size": method.projection_width,
        "num_layers": _num_layers(len(layout.blocks[layout.head_stack]), is_decoder),
        "num_transformer_submodules": 2 if is_decoder else 1,
        "prefix_projection": method.use_projection,
        "token_dim": _width(model_config),
    }


def write_prefix(values: Tensors, sites: Sequence[str]) -> dict[str, np.ndarray]:
    """The prefixes of all layers in PEFT's matrix, computed where a network does.

    Args:
        values: By our parameter names, in PyTorch's axis order.
        sites: The places of the method's layers, the attentions in model order.
    """
    prefixes = _prefixes(values, sites)
    others = {name: v for name, v in values.items() if _PREFIX not in name}
    is_decoder = _is_decoder(sites)
    num_layers = _num_layers(len(prefixes), is_decoder)
    length, columns = prefixes[0].shape
    slots = np.zeros((length, 2 * num_layers, columns // 2), prefixes[0].dtype)
    for layer, prefix in enumerate(prefixes):
        slot = _slot(layer, num_layers, is_decoder)
        slots[:, slot : slot + 2] = prefix.reshape(length, 2, -1)
    return {
        PEFT_KEY: slots.reshape(length, -1),
        **{_BASE + name: value for name, value in others.items()},
    }


def read_prefix(
    tensors: Tensors, sites: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Every layer's prefix from PEFT's matrix, by our parameter names.

    Args:
        tensors: By PEFT's keys.
        sites: The places of the method's layers, the attentions in model order.
        settings: What `adapter_config.json` says.

    Raises:
        UserError: The matrix is not one for this model.
    """
    values = {key.removeprefix(_BASE): value for key, value in tensors.items()}
    matrix = values.pop(PEFT_KEY, None)
    attentions = [site for site in sites if _is_attention(site)]
    num_layers, is_decoder = settings.get("num_layers") or 0, _is_decoder(sites)
    if matrix is None or num_layers < len(attentions) or matrix.shape[1] % num_layers:
        raise UserError(
            "The prefix has another number of layers than the model.",
            accepted=f"{PEFT_KEY} of {len(attentions)} layers",
            received=f"num_layers={num_layers}, "
            f"{PEFT_KEY} {'missing' if matrix is None else list(matrix.shape)}",
        )
    if is_decoder and settings.get("num_transformer_submodules") == 1:
        raise UserError(
            "PEFT itself cannot use such a prefix: cross-attention would read it too.",
            accepted="num_transformer_submodules=2 for an encoder-decoder",
            received="num_transformer_submodules=1",
        )
    slots = matrix.reshape(matrix.shape[0], 2 * num_layers, -1)
    for layer, site in enumerate(attentions):
        slot = _slot(layer, num_layers, is_decoder)
        values[site + _PREFIX] = slots[:, slot : slot + 2].reshape(len(slots), -1)
    return values


def _slot(layer: int, num_layers: int, is_decoder: bool) -> int:
    """The slot of a layer's keys, before that of its values.

    >>> [_slot(layer, 3, is_decoder=True) for layer in range(3)]
    [0, 4, 2]
    """
    return 4 * layer % (2 * num_layers) if is_decoder else 2 * layer


def _num_layers(count: int, is_decoder: bool) -> int:
    """The `num_layers` for PEFT with which `count` layers share no slot.

    >>> _num_layers(6, is_decoder=True), _num_layers(6, is_decoder=False)
    (7, 6)
    """
    return count | 1 if is_decoder else count


def _width(config: "transformers.PretrainedConfig") -> int:
    """The width of keys and values: not T5's `d_model`, which may be another."""
    heads_times_width = getattr(config, "d_kv", 0) * config.num_attention_heads
    return heads_times_width or config.hidden_size


def _is_attention(site: str) -> bool:
    return not site.endswith(("embed_positions", "embeddings"))


def _is_decoder(sites: Sequence[str]) -> bool:
    return "decoder" in sites[0].split(".")


def _prefixes(values: Tensors, sites: Sequence[str]) -> list[np.ndarray]:
    """`[num_virtual_tokens, 2 · width]` of every attention, in model order."""
    flat = [values[s + _PREFIX] for s in sites if s + _PREFIX in values]
    if flat:
        return flat
    (start,) = {n.partition(_TABLE)[0] + _TABLE for n in values if _TABLE in n}
    table, down = values[f"{start}table"], values[f"{start}down.weight"]
    states = np.tanh(table @ down.T + values[f"{start}down.bias"])
    return [
        states @ values[f"{site}{_UP}weight"].T + values[f"{site}{_UP}bias"]
        for site in sites
        if f"{site}{_UP}weight" in values
    ]
