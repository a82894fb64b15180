"""Which modules of an architecture are query, key, value, output and feed-forward.

The names are suffixes of PyTorch-style module names, as PEFT's `target_modules`: the
suffix `q` means `decoder.block.0.layer.0.SelfAttention.q`. Where one suffix is the end
of another (`output.dense`, `attention.output.dense`), the longer one decides.
"""

from collections.abc import Collection, Mapping
from typing import Literal

Role = Literal["query", "key", "value", "output", "feed_forward"]
Suffixes = Mapping[Role, tuple[str, ...]]

_T5: Suffixes = {
    "query": ("q",),
    "key": ("k",),
    "value": ("v",),
    "output": ("o",),
    "feed_forward": ("wi", "wi_0", "wi_1", "wo"),
}
_BART: Suffixes = {
    "query": ("q_proj",),
    "key": ("k_proj",),
    "value": ("v_proj",),
    "output": ("out_proj",),
    "feed_forward": ("fc1", "fc2"),
}
_BERT: Suffixes = {
    "query": ("query",),
    "key": ("key",),
    "value": ("value",),
    "output": ("attention.output.dense",),
    "feed_forward": ("intermediate.dense", "output.dense"),
}
_DISTILBERT: Suffixes = {
    "query": ("q_lin",),
    "key": ("k_lin",),
    "value": ("v_lin",),
    "output": ("out_lin",),
    "feed_forward": ("lin1", "lin2"),
}
_ALBERT: Suffixes = {
    **_BERT,
    "output": ("attention.dense",),
    "feed_forward": ("ffn", "ffn_output"),
}
_MPNET: Suffixes = {
    **_T5,
    "feed_forward": ("intermediate.dense", "output.dense"),
}
_DEBERTA_V2: Suffixes = {
    **_BERT,
    "query": ("query_proj",),
    "key": ("key_proj",),
    "value": ("value_proj",),
}
_LED: Suffixes = {
    "query": ("query", "q_proj"),
    "key": ("key", "k_proj"),
    "value": ("value", "v_proj"),
    "output": ("self_attn.output", "out_proj"),
    "feed_forward": ("fc1", "fc2"),
}

_BY_TYPE: Mapping[str, Suffixes] = {
    "t5": _T5,
    "mt5": _T5,
    "bart": _BART,
    "mbart": _BART,
    "pegasus": _BART,
    "marian": _BART,
    "blenderbot": _BART,
    "blenderbot-small": _BART,
    "bert": _BERT,
    "roberta": _BERT,
    "electra": _BERT,
    "distilbert": _DISTILBERT,
    "albert": _ALBERT,
    "mpnet": _MPNET,
    "deberta-v2": _DEBERTA_V2,
    # Last, for its encoder has BERT's names for query, key and value alone.
    "led": _LED,
}


def role_suffixes(model_type: str, modules: Collection[str]) -> Suffixes:
    """The suffixes of `model_type`; for a type not listed, those its modules fit.

    Args:
        model_type: The configuration's `model_type`.
        modules: Module names inside the model's blocks.

    Returns:
        Role to suffixes; empty when the type is unknown and nothing fits.

    Example:
    >>> role_suffixes("t5", [])["query"]
    ('q',)
    >>> role_suffixes("rembert", ["encoder.layer.0.attention.self.query"])["value"]
    ('value',)
    """
    if model_type in _BY_TYPE:
        return _BY_TYPE[model_type]
    for suffixes in _BY_TYPE.values():
        if any(role_of(module, suffixes) == "query" for module in modules):
            return suffixes
    return {}


def role_of(module: str, suffixes: Suffixes) -> Role | None:
    """The role whose suffix ends `module` at a whole segment, the longest deciding.

    >>> role_of("encoder.layer.0.output.dense", _BERT)
    'feed_forward'
    >>> role_of("encoder.layer.0.attention.output.dense", _BERT)
    'output'
    """
    fitting = [
        (len(suffix), role)
        for role, names in suffixes.items()
        for suffix in names
        if f".{module}".endswith(f".{suffix}")
    ]
    return max(fitting)[1] if fitting else None


def is_cross_attention(module: str) -> bool:
    """Whether a module is in a decoder's attention to the encoder.

    >>> is_cross_attention("decoder.block.0.layer.1.EncDecAttention.q")
    True
    """
    return not {"EncDecAttention", "encoder_attn"}.isdisjoint(module.split("."))
