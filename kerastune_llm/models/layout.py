"""Where things are in a model: blocks, embeddings, head, in PyTorch parameter names.

Names come from `torch_parameters`, and everything else is read off them: a block is
the first number in a name, a head is what lies outside the base model. There is no
table of architectures here, so one transformers adds needs no line of ours.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.delta_layers import delta_layers
from kerastune_llm.models.module_roles import Role, role_of, role_suffixes
from kerastune_llm.models.places import dense_places
from kerastune_llm.models.torch_layout import TorchParameter, torch_parameters

Part = Literal["embeddings", "encoder", "decoder", "head", "delta"]
Stack = Literal["encoder", "decoder"]
PARTS: tuple[Part, ...] = ("embeddings", "encoder", "decoder", "head", "delta")

# Segments such as `shared`, `embed_positions`, `word_embeddings`, `layer_norm_emb`,
# `wte` (GPT-2) and `w` (CTRL).
_EMBEDDING = re.compile(r"(^|\.)(\w*embed\w*|\w+_emb|shared|wte|wpe|w)(\.|$)")
_AFTER_BLOCKS = re.compile(r"norm|pooler|\.ln_f\.", re.IGNORECASE)
_FIRST_INDEX = re.compile(r"^(?P<block>(?P<prefix>.*?)\.(?P<index>\d+))\.")


@dataclass(frozen=True)
class Block:
    """One repeated block of a stack, such as `decoder.block.3`.

    Args:
        name: Its module name; the first in the alphabet for architectures that spread
            a block over several lists (XLM's `attentions.0`, `ffns.0`).
        stack: The stack it belongs to.
        parameters: Names of its parameters.
    """

    name: str
    stack: Stack
    parameters: frozenset[str]


@dataclass(frozen=True)
class Layout:
    """Where everything is in one model, by PyTorch parameter name.

    Args:
        model_type: The configuration's `model_type`.
        parts: The one part each parameter is counted in. A tied matrix is counted
            with the embeddings; what a method added is `delta`.
        head: Parameters of the task head. A tied LM head is the embedding matrix.
        head_is_tied: Whether the head shares its matrix with the input embeddings.
        fixed: Parameters that never train: the logits bias of the BART family and
            sinusoidal positions, exactly those PyTorch gives no gradient.
        blocks: Blocks of each stack, in order. An encoder-only or a decoder-only
            model has one stack, called `encoder`.
        after_blocks: Per stack, what follows its last block: final norm and pooler.
        roles: Module names by their role in a block, as PEFT would name them.
        dense: Module names of the dense layers, in model order.
        is_classifier: Whether the head gives labels rather than tokens.
    """

    model_type: str
    parts: Mapping[str, Part]
    head: frozenset[str]
    head_is_tied: bool
    fixed: frozenset[str]
    blocks: Mapping[Stack, tuple[Block, ...]]
    after_blocks: Mapping[Stack, frozenset[str]]
    roles: Mapping[Role, tuple[str, ...]]
    dense: tuple[str, ...]
    is_classifier: bool

    @property
    def names(self) -> frozenset[str]:
        """All parameter names."""
        return frozenset(self.parts)

    @property
    def head_stack(self) -> Stack:
        """The stack whose output the head reads."""
        return "decoder" if "decoder" in self.blocks else "encoder"

    def part(self, part: Part) -> frozenset[str]:
        """Names of the parameters counted in `part`."""
        return frozenset(name for name, own in self.parts.items() if own == part)


def layout_of(model: keras.Model) -> Layout:
    """Where everything is in a built model.

    Args:
        model: A transformers model whose variables exist.
    """
    everything = torch_parameters(model)
    delta = _delta(model, everything)
    parameters = {name: p for name, p in everything.items() if name not in delta}
    outside = _outside_base(model, parameters)
    tied = None if "lm_head.weight" in outside else _tied_head(model, parameters)
    parts = {name: "head" if name in outside else _part(name) for name in parameters}
    blocks = _blocks(parts)
    inside = {name for stack in blocks.values() for b in stack for name in b.parameters}
    model_type = model.config.model_type
    return Layout(
        model_type=model_type,
        parts=parts | dict.fromkeys(delta, "delta"),
        head=frozenset(outside | ({tied} if tied else set())),
        head_is_tied=tied is not None,
        fixed=_fixed(model, parameters),
        blocks=blocks,
        after_blocks={
            stack: _after_blocks(model_type, stack, parts, inside) for stack in blocks
        },
        roles=_roles(model_type, inside),
        dense=tuple(dense_places(model, parameters)),
        is_classifier=bool(outside) and not model.can_generate(),
    )


def module_of(parameter: str) -> str:
    """The module that owns a parameter.

    >>> module_of("decoder.block.0.layer.1.EncDecAttention.q.weight")
    'decoder.block.0.layer.1.EncDecAttention.q'
    """
    return parameter.rpartition(".")[0]


def _delta(
    model: keras.Model, parameters: Mapping[str, TorchParameter]
) -> tuple[str, ...]:
    """Names of what delta layers added, in model order."""
    added = {id(v) for layer in delta_layers(model) for v in layer.delta_weights}
    return tuple(name for name, p in parameters.items() if id(p.variable) in added)


def _outside_base(
    model: keras.Model, parameters: Mapping[str, TorchParameter]
) -> set[str]:
    """Names outside the base model; none where the model is a base model itself."""
    base = _base_prefixes(model, parameters)
    outside = {name for name in parameters if not name.startswith(base)}
    return set() if len(outside) == len(parameters) else outside


def _base_prefixes(model: keras.Model, names: Iterable[str]) -> tuple[str, ...]:
    """What the names of the base model begin with, such as `bert.`."""
    prefix = f"{model.base_model_prefix}."
    if any(name.startswith(prefix) for name in names):
        return (prefix,)
    if model.config.model_type == "encoder-decoder":
        return ("encoder.", f"decoder.{model.decoder.base_model_prefix}.")
    # T5's base model has no name of its own in PyTorch.
    return ("shared.", "encoder.", "decoder.")


def _tied_head(
    model: keras.Model, parameters: Mapping[str, TorchParameter]
) -> str | None:
    """The embedding matrix that also makes the logits; `None` without such a head."""
    output = model.get_output_embeddings()
    matrix = getattr(output, "weight", getattr(output, "embeddings", None))
    if not isinstance(matrix, tf.Variable):
        return None
    return next((n for n, p in parameters.items() if p.variable is matrix), None)


def _fixed(
    model: keras.Model, parameters: Mapping[str, TorchParameter]
) -> frozenset[str]:
    # transformers makes sinusoidal positions trainable in TensorFlow, where PyTorch
    # gives them no gradient: only the layer's class tells.
    sinusoidal = {
        id(variable)
        for layer in model._flatten_layers()
        if "Sinusoidal" in type(layer).__name__
        for variable in layer.weights
    }
    return frozenset(
        name
        for name, parameter in parameters.items()
        if not parameter.variable.trainable or id(parameter.variable) in sinusoidal
    )


def _part(name: str) -> Part:
    index = _FIRST_INDEX.match(name)
    before_blocks = index["prefix"] if index else module_of(name) or name
    if _EMBEDDING.search(before_blocks):
        return "embeddings"
    return "decoder" if "decoder" in before_blocks.split(".") else "encoder"


def _blocks(parts: Mapping[str, Part]) -> dict[Stack, tuple[Block, ...]]:
    found: dict[tuple[Stack, int], list[tuple[str, str]]] = {}
    for name, part in parts.items():
        index = _FIRST_INDEX.match(name)
        if index and part in ("encoder", "decoder"):
            key = (part, int(index["index"]))
            found.setdefault(key, []).append((index["block"], name))
    blocks: dict[Stack, tuple[Block, ...]] = {}
    for stack, index in sorted(found):
        prefixes, names = zip(*found[stack, index], strict=True)
        block = Block(min(prefixes), stack, frozenset(names))
        blocks[stack] = (*blocks.get(stack, ()), block)
    return blocks


def _after_blocks(
    model_type: str, stack: Stack, parts: Mapping[str, Part], inside: set[str]
) -> frozenset[str]:
    return frozenset(
        name
        for name, part in parts.items()
        if part == stack
        and name not in inside
        and _AFTER_BLOCKS.search(name)
        # DeBERTa's `encoder.LayerNorm` normalises the relative positions that every
        # block reads; it does not follow the last one.
        and not (model_type.startswith("deberta") and ".LayerNorm." in name)
    )


def _roles(model_type: str, inside: set[str]) -> dict[Role, tuple[str, ...]]:
    modules = sorted({module_of(name) for name in inside})
    suffixes = role_suffixes(model_type, modules)
    found: dict[Role, tuple[str, ...]] = {role: () for role in suffixes}
    for module in modules:
        role = role_of(module, suffixes)
        if role is not None:
            found[role] = (*found[role], module)
    return found
