"""How many operations a row of a batch takes, forward and backward."""

import re
from collections.abc import Collection, Mapping

from kerastune_llm.models.activations import Uses
from kerastune_llm.models.layout import Block, Layout, Stack

# Whose keys and values are made of the encoder's output, input by input token.
_CROSS_ATTENTION = re.compile(r"EncDecAttention|encoder_attn|crossattention")


def row_operations(
    layout: Layout,
    sizes: Mapping[str, int],
    trained: Collection[str],
    uses: Uses,
    *,
    input_tokens: int,
    target_tokens: int,
) -> int:
    """Floating point operations of one row in one update.

    For each token that a weight is multiplied with: 2 forward, 2 backward where
    gradients pass through it, 2 more for its own gradient where it trains. All three
    are the 6 for each parameter and token of Kaplan et al. 2020, "Scaling Laws for
    Neural Language Models", section 2.1; a frozen base under a method's layers takes 4.
    The scores of attention, norms and what is looked up are left out, as there.

    Args:
        layout: Of the model, a method's layers in place.
        sizes: Numbers of every parameter, by name.
        trained: Names of the parameters that train.
        uses: What the backward pass needs of each block.
        input_tokens: Length of the input.
        target_tokens: Length of the target; of no account to a classifier.
    """
    lengths: dict[Stack, int] = {"encoder": input_tokens, "decoder": target_tokens}
    matrices = {f"{module}.weight" for module in layout.dense}
    is_passed = any(use != "idle" for stack in uses.values() for use in stack)
    count = 0
    for stack, use_of_blocks in uses.items():
        blocks = layout.blocks[stack]
        passes = len(use_of_blocks) // len(blocks)
        repeated = [block for block in blocks for _ in range(passes)]
        for block, use in zip(repeated, use_of_blocks, strict=True):
            for name in block.parameters & matrices:
                is_cross = stack == "decoder" and _is_of_input(name, layout)
                tokens = lengths["encoder" if is_cross else stack]
                each = 2 + 2 * (use != "idle") + 2 * (name in trained)
                count += each * tokens * sizes[name]
            count += 6 * lengths[stack] * _added(block, layout, sizes, trained)
    ends = 1 if layout.is_classifier else target_tokens
    # Tied to the embeddings, an LM head is no dense layer of its own.
    head = layout.head if layout.head_is_tied else layout.head & matrices
    for name in head:
        count += (2 + 2 * is_passed + 2 * (name in trained)) * ends * sizes[name]
    return count


def _is_of_input(name: str, layout: Layout) -> bool:
    """Whether a weight of the decoder is multiplied with the encoder's output."""
    module = name.removesuffix(".weight")
    keys = (*layout.roles.get("key", ()), *layout.roles.get("value", ()))
    return module in keys and _CROSS_ATTENTION.search(name) is not None


def _added(
    block: Block, layout: Layout, sizes: Mapping[str, int], trained: Collection[str]
) -> int:
    """Numbers of a method's own layers in a block."""
    inside = f"{block.name}."
    own = layout.part("delta") & set(trained)
    return sum(sizes[name] for name in own if name.startswith(inside))
