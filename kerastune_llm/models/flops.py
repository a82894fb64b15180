"""Floating-point operations of a training step: those of its matrix products.

A matrix of P weights that each of T tokens is multiplied by takes 2 P T operations
forward, 2 P T for the gradient of its input and 2 P T for the gradient of its weights
(Kaplan et al. 2020, arXiv:2001.08361, section 2.1: 2 and 4 times N for each token; a
multiplication and an addition are two). Attention of n queries to m keys, all heads
together a wide, takes 4 n m a forward, and twice that backward (Chowdhery et al. 2022,
PaLM, arXiv:2204.02311, appendix B). What is frozen needs less:

- a frozen matrix has no weight gradient;
- blocks below the first one that trains have no backward pass at all, and neither has
  the attention in them;
- what a trunk cache holds is not computed.

Left out, as there: norms, softmax, dropout, biases, lookups, and the update of the
weights. Recomputed activations are no work of the model's and do not count either. In
the first block that trains, the gradients of the input of query, key and value, and of
the keys where their matrix is frozen, are counted though nothing may ask for them. A
prefix or a prompt adds to no product but its own.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kerastune_llm.backend import keras
from kerastune_llm.models.activations import Sizes, Uses, sizes_of, uses_of
from kerastune_llm.models.layout import Layout, Stack, layout_of, module_of
from kerastune_llm.models.module_roles import is_cross_attention
from kerastune_llm.models.surgery import trainable_names
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.models.trunk import Cut

# How often a matrix is multiplied with: for each token of the input or of the target,
# or once a row, as a pooler is.
Times = Literal["input", "target", "row"]


@dataclass(frozen=True)
class Matrix:
    """Products with one matrix.

    Args:
        weights: How many it has.
        times: What it is multiplied by.
        passes: 1 forward, and 1 for each of the two gradients that is computed.
    """

    weights: int
    times: Times
    passes: int


@dataclass(frozen=True)
class Attention:
    """The two products of an attention: queries by keys, and weights by values.

    Args:
        width: Of all heads together.
        queries: Which tokens ask.
        keys: Which tokens are asked.
        passes: 1 forward, 3 with the backward pass.
    """

    width: int
    queries: Times
    keys: Times
    passes: int


@dataclass(frozen=True)
class StepWork:
    """The matrix products of a training step, for batches of any shape."""

    products: tuple[Matrix | Attention, ...]

    def flops(self, rows: int, input_tokens: int, target_tokens: int = 0) -> int:
        """Operations of one step on a batch of that shape, padding included."""
        counts = {"input": input_tokens, "target": target_tokens, "row": 1}
        total = 0
        for product in self.products:
            if isinstance(product, Matrix):
                each = 2 * product.weights * counts[product.times]
            else:
                pairs = counts[product.queries] * counts[product.keys]
                each = 4 * product.width * pairs
            total += product.passes * each
        return rows * total


def step_work(
    model: keras.Model,
    cut: Cut | None = None,
    *,
    trained: frozenset[str] | None = None,
) -> StepWork:
    """What a training step of a model computes.

    Args:
        model: A built model, its method applied.
        cut: Where its trunk ends, if the trunk's outputs are kept.
        trained: Names of what trains, where it is not what trains now, as in a later
            stage of a method.
    """
    layout, sizes = layout_of(model), sizes_of(model.config)
    trained = trainable_names(model) if trained is None else trained
    uses = uses_of(layout, trained, sizes)
    given = _given_blocks(cut, sizes)
    products = [
        *_blocks(model, layout, trained, uses, given),
        *_attentions(sizes, uses, given),
        *_outside(model, layout, trained, uses, cut),
    ]
    return StepWork(tuple(products))


def _given_blocks(cut: Cut | None, sizes: Sizes) -> dict[Stack, int]:
    """Of each stack, how many of the first blocks are not computed."""
    if cut is None:
        return {}
    if cut.where == "base":
        return dict(sizes.blocks)
    return {"encoder": cut.blocks or sizes.blocks["encoder"]}


def _blocks(
    model: keras.Model,
    layout: Layout,
    trained: frozenset[str],
    uses: Uses,
    given: dict[Stack, int],
) -> Iterator[Matrix]:
    """The dense layers in blocks, those that a method put there too."""
    dense = set(layout.dense) | {module_of(name) for name in layout.part("delta")}
    parameters = torch_parameters(model)
    for stack, own in uses.items():
        blocks = layout.blocks[stack]
        repeats = len(own) // len(blocks)  # ALBERT's blocks are passed several times.
        for number, use in enumerate(own):
            if number < given.get(stack, 0):
                continue
            block = blocks[number // repeats]
            for name, parameter in parameters.items():
                is_inside = name.startswith(f"{block.name}.") or (
                    name in block.parameters
                )
                if not is_inside or module_of(name) not in dense:
                    continue
                if len(parameter.shape) == 2:
                    yield Matrix(
                        math.prod(parameter.shape),
                        _tokens_of(name, stack),
                        1 + (use != "idle") + (name in trained),
                    )


def _tokens_of(name: str, stack: Stack) -> Times:
    """Which tokens go through a matrix of a block."""
    if stack == "encoder":
        return "input"
    segments = name.split(".")
    reads_encoder = {"k", "v", "k_proj", "v_proj"} & set(segments)
    return "input" if is_cross_attention(name) and reads_encoder else "target"


def _attentions(
    sizes: Sizes, uses: Uses, given: dict[Stack, int]
) -> Iterator[Attention]:
    for stack, own in uses.items():
        queries: Times = "target" if stack == "decoder" else "input"
        for use in own[given.get(stack, 0) :]:
            passes = 1 if use == "idle" else 3
            yield Attention(sizes.inner, queries, queries, passes)
            if stack == "decoder":
                yield Attention(sizes.inner, queries, "input", passes)


def _outside(
    model: keras.Model,
    layout: Layout,
    trained: frozenset[str],
    uses: Uses,
    cut: Cut | None,
) -> Iterator[Matrix]:
    """The head, and what dense layers there are before and after the blocks."""
    parameters = torch_parameters(model)
    inside = {
        n for stack in layout.blocks.values() for b in stack for n in b.parameters
    }
    names = {f"{module}.weight" for module in layout.dense} | layout.head
    is_given = cut is not None and cut.where == "base"
    is_reached = any(use != "idle" for own in uses.values() for use in own)
    for name in sorted(names - inside):
        shape = parameters[name].shape if name in parameters else ()
        if len(shape) != 2 or (is_given and name not in layout.head):
            continue
        times: Times = "row"
        if name in layout.head and not layout.is_classifier:
            times = "target" if "decoder" in layout.blocks else "input"
        elif layout.parts[name] == "embeddings":
            times = "input"
        passes = 1 + is_reached + (name in trained)
        yield Matrix(math.prod(shape), times, passes)
