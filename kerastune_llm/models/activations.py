"""How much memory a batch takes between the forward and the backward pass.

The formula counts the tensors that TensorFlow's gradients of transformers' layers read,
which therefore stay until the backward pass reaches them. With n queries and m keys
(m = n in self-attention), width d, h heads of together a, feed-forward size f:

| per row | floats | bytes of dropout masks |
|---|---|---|
| T5 norm: x; and, where what follows trains, x / rms and the scaled | d, 3 d | |
| other norm: x, gamma / deviation; and the output likewise | 2 d, 3 d | |
| query, key, value, heads apart | n a + 2 m a | |
| softmax, and after dropout where there is any | 2 h n m | h n m |
| context, where the projection behind it trains | n a | |
| what comes out of a sublayer | | n d |
| feed-forward | see `_feed_forward` | n f (T5) |
| gradient of the softmax over the vocabulary, and the logits | 2 n V | |

A sum `x + sublayer(x)` is the next norm's x. Scores before the softmax, random numbers
and biases are not kept. Nothing is kept of blocks up to the first that trains.

With gradient checkpointing, a block keeps what goes into it, n d, and one block at a
time has all of the above. T5's position bias, h n m, is the same for a whole stack.
`tests/benchmarks/activation_memory.py` measures it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from kerastune_llm.backend import transformers
from kerastune_llm.models.layout import Block, Layout, Stack

# What a block's backward pass needs: gradients of its weights, gradients that only
# pass through it, nothing.
Use = Literal["trained", "passed", "idle"]
Uses = Mapping[Stack, tuple[Use, ...]]

_T5_TYPES = ("t5", "mt5", "umt5", "longt5")
# Tensors kept inside an activation function besides its output.
_INSIDE = {"relu": 0, "tanh": 0, "silu": 1, "swish": 1, "gelu": 1, "gelu_new": 4}
_INSIDE_OTHERS = 3


@dataclass(frozen=True)
class Sizes:
    """What the activations of an architecture depend on.

    Args:
        width: Of the residual stream.
        heads: Attention heads.
        inner: Width of all heads together.
        feed_forward: Width inside the feed-forward layers.
        activation: Their activation function.
        is_gated: Whether they multiply two projections.
        is_t5: Whether norms and dropout are where T5 has them.
        drops_scores: Whether some of the softmax is dropped.
        vocabulary: Rows of the LM head; 0 for a classifier.
        blocks: Blocks of each stack, a shared one counted as often as it is passed.
    """

    width: int
    heads: int
    inner: int
    feed_forward: int
    activation: str
    is_gated: bool
    is_t5: bool
    drops_scores: bool
    vocabulary: int
    blocks: Mapping[Stack, int]


def sizes_of(config: transformers.PretrainedConfig) -> Sizes:
    """The sizes in a configuration, whatever its architecture calls them."""
    width, heads = config.hidden_size, config.num_attention_heads
    blocks: dict[Stack, int] = {"encoder": config.num_hidden_layers}
    if config.is_encoder_decoder:
        names = ("num_decoder_layers", "decoder_layers")
        blocks["decoder"] = _first(config, *names) or config.num_hidden_layers
    sizes = ("d_ff", "encoder_ffn_dim", "intermediate_size", "hidden_dim", "n_inner")
    rates = ("attention_probs_dropout_prob", "attention_dropout", "dropout_rate")
    functions = ("dense_act_fn", "hidden_act", "activation_function", "activation")
    return Sizes(
        width=width,
        heads=heads,
        inner=heads * (_first(config, "d_kv") or width // heads),
        feed_forward=_first(config, *sizes) or 4 * width,
        activation=_first(config, *functions) or "gelu",
        is_gated=bool(_first(config, "is_gated_act")),
        is_t5=config.model_type in _T5_TYPES,
        drops_scores=bool(_first(config, *rates)),
        vocabulary=config.vocab_size if config.is_encoder_decoder else 0,
        blocks=blocks,
    )


def uses_of(layout: Layout, trained: Collection[str], sizes: Sizes) -> Uses:
    """What the backward pass needs of each block, from the first to the last.

    Args:
        layout: Of the model, a method's layers in place.
        trained: Names of the parameters that train.
        sizes: Of its configuration.
    """
    blocks = [block for stack in layout.blocks.values() for block in stack]
    inside = tuple(f"{block.name}." for block in blocks)
    before = layout.part("embeddings") | {
        name for name in layout.part("delta") if not name.startswith(inside)
    }
    reached = not before.isdisjoint(trained)
    uses: dict[Stack, tuple[Use, ...]] = {}
    for stack in sizes.blocks:  # The decoder's gradients come from the encoder's.
        found: list[Use] = []
        for block in _passes(layout.blocks[stack], sizes.blocks[stack]):
            use = _own_use(block, layout, trained)
            reached = reached or use != "idle"
            found.append("passed" if reached and use == "idle" else use)
        uses[stack] = tuple(found)
    return uses


def activation_bytes(
    sizes: Sizes,
    uses: Uses,
    input_tokens: int,
    target_tokens: int,
    *,
    width: int = 4,
    use_recomputation: bool = False,
) -> int:
    """Bytes that one row of a batch keeps for the backward pass, or one block takes.

    Where next to nothing is kept, the forward pass through a block is the most.

    Args:
        sizes: Of the model.
        uses: Of its blocks.
        input_tokens: Length of the input.
        target_tokens: Length of the target; of no account to a classifier.
        width: Bytes of a number in the precision that is computed in.
        use_recomputation: Whether the blocks' activations are computed again.
    """
    logits = 2 * target_tokens * sizes.vocabulary * width
    kept = largest = again = 0
    for stack, use_of_blocks in uses.items():
        length = target_tokens if stack == "decoder" else input_tokens
        keys = (length, input_tokens) if stack == "decoder" else (length,)
        used = [use for use in use_of_blocks if use != "idle"]
        blocks = [_block_bytes(sizes, use, length, keys, width) for use in used]
        if use_recomputation:
            again = max([again, *blocks])
            kept += len(used) * length * sizes.width * width
            if used and sizes.is_t5:
                kept += sizes.heads * length * sum(keys) * width
        else:
            kept += sum(blocks)
        if used:
            kept += _ends_bytes(sizes, length, width)
        largest = max(largest, _block_bytes(sizes, "passed", length, keys, width))
    # The logits are gone before the first block is computed again.
    kept += max(logits, again) if use_recomputation else logits
    return max(kept, largest)


def _ends_bytes(sizes: Sizes, length: int, width: int) -> int:
    """What the embeddings of a stack and its final norm keep, with their dropout."""
    floats, flags = (4, 2) if sizes.is_t5 else (2, 1)
    return length * sizes.width * (floats * width + flags)


def _block_bytes(
    sizes: Sizes, use: Use, length: int, keys: tuple[int, ...], width: int
) -> int:
    """What a block keeps, with one attention for each number of keys."""
    sublayers = [_attention(sizes, use, length, count) for count in keys]
    sublayers.append(_feed_forward(sizes, use, length))
    return sum(floats * width + flags for floats, flags in sublayers)


def _attention(sizes: Sizes, use: Use, queries: int, keys: int) -> tuple[int, int]:
    """Floats and mask bytes of an attention sublayer, its norm included."""
    scores = sizes.heads * queries * keys
    # A method's layers are at the projections: their input is kept in any case.
    norm = 3 if use == "trained" or not sizes.is_t5 else 2
    heads = queries + 2 * keys + (queries if use == "trained" else 0)
    floats = norm * queries * sizes.width + heads * sizes.inner
    floats += (1 + sizes.drops_scores) * scores
    return floats, queries * sizes.width + sizes.drops_scores * scores


def _feed_forward(sizes: Sizes, use: Use, length: int) -> tuple[int, int]:
    """Floats and mask bytes of a feed-forward sublayer, its norm included.

    Inside the activation function TensorFlow keeps `_INSIDE` tensors, its input where
    it is one of `quick_activations`. Its output is kept as a factor of the gate, by the
    gradient of relu, or as input of the projection behind it where that trains; where
    T5 drops some of it, the input is another tensor.
    """
    trains = use == "trained"
    is_input = trains and not sizes.is_t5
    wide = _INSIDE.get(sizes.activation, _INSIDE_OTHERS)
    wide += sizes.is_gated or sizes.activation in ("relu", "tanh") or is_input
    wide += sizes.is_gated + (trains and sizes.is_t5)
    norm = (1 if sizes.is_t5 else 2) + (2 if sizes.is_t5 else 1) * trains
    floats = length * (norm * sizes.width + wide * sizes.feed_forward)
    flags = length * (sizes.width + sizes.is_t5 * sizes.feed_forward)
    return floats, flags


def _own_use(block: Block, layout: Layout, trained: Collection[str]) -> Use:
    """What a block needs for the parameters in it alone."""
    matrices = {f"{module}.weight" for module in layout.dense}
    if any(name in block.parameters and name in matrices for name in trained):
        return "trained"
    # Norms, biases and a method's layers.
    is_touched = any(name.startswith(f"{block.name}.") for name in trained)
    return "passed" if is_touched else "idle"


def _passes(blocks: tuple[Block, ...], count: int) -> list[Block]:
    """The blocks as they are passed, the shared ones of ALBERT several times."""
    return [block for block in blocks for _ in range(count // len(blocks))]


def _first(config: transformers.PretrainedConfig, *names: str) -> object | None:
    found = (getattr(config, name, None) for name in names)
    return next((value for value in found if value), None)
