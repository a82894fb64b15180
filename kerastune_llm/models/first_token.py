"""The last block of an encoder, for its first token alone.

BERT's classifier reads the first token of the last block and nothing else of it. The
other tokens are read by that block's attention, as keys and values; their own queries,
their feed-forward network and its gradients are work for nobody: about a seventh of a
six-block model's.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.attributes import replaced
from kerastune_llm.models.delta_layers import DeltaLayer
from kerastune_llm.models.prefix_layers import PrefixAttention


@contextlib.contextmanager
def first_token_only(model: keras.Model) -> Iterator[None]:
    """Within it, the last block computes what the head reads, and no more.

    Logits and gradients are those of the whole block; dropout draws fewer numbers. It
    stays whole where the head may read more tokens, or the block's attention is none of
    BERT's or DistilBERT's.

    Args:
        model: Any model; in a graph it holds for what is traced within it.
    """
    block = _last_block(model)
    with contextlib.ExitStack() as within:
        if block is not None:
            for name, stand in _STANDS[model.config.model_type].items():
                value = partial(stand, getattr(block, name))
                within.enter_context(replaced(block, name, value))
        yield


def _last_block(model: keras.Model) -> keras.layers.Layer | None:
    """The last block of a model that reads its first token alone."""
    kind, base = model.config.model_type, getattr(model, model.base_model_prefix, None)
    is_classifier = type(model).__name__.endswith("ForSequenceClassification")
    # A prompt's layer is around the base model, and counts the tokens that come out.
    if kind not in _STANDS or not is_classifier or isinstance(base, DeltaLayer):
        return None
    stack = base.transformer if kind == "distilbert" else base.encoder
    block = stack.layer[-1]
    has_prefix = any(isinstance(x, PrefixAttention) for x in block._flatten_layers())
    return None if has_prefix or isinstance(block, DeltaLayer) else block


def _bert_attention(
    attention: keras.layers.Layer,
    input_tensor: tf.Tensor,
    attention_mask: tf.Tensor,
    **options: Any,
) -> Any:
    """BERT's reads other tokens than those that ask, as in a decoder."""
    options["encoder_hidden_states"] = input_tensor
    options["encoder_attention_mask"] = attention_mask
    return attention(input_tensor[:, :1], attention_mask, **options)


def _distilbert_attention(
    attention: keras.layers.Layer, query: tf.Tensor, *arguments: Any, **options: Any
) -> Any:
    return attention(query[:, :1], *arguments, **options)


def _distilbert_norm(norm: keras.layers.Layer, values: tf.Tensor) -> tf.Tensor:
    """DistilBERT's block has added its whole input to what attention gave for one."""
    return norm(values[:, :1])


_BERT: dict[str, Callable[..., Any]] = {"attention": _bert_attention}
_DISTILBERT = {"attention": _distilbert_attention, "sa_layer_norm": _distilbert_norm}
# By type of model, what stands in the place of the last block's layers.
_STANDS = {
    "bert": _BERT,
    "camembert": _BERT,
    "distilbert": _DISTILBERT,
    "electra": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
}
