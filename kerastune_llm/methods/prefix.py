"""Prefix tuning: trained keys and values before those of every self-attention."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kerastune_llm.errors import UserError
from kerastune_llm.methods.forms import Form
from kerastune_llm.methods.method import check_fields
from kerastune_llm.methods.prefix_form import prefix_values, read_prefix, write_prefix
from kerastune_llm.methods.targets import head_modules, saved_names
from kerastune_llm.models.module_roles import is_cross_attention
from kerastune_llm.registry import METHODS

if TYPE_CHECKING:
    from kerastune_llm.backend import keras
    from kerastune_llm.models.delta_layers import DeltaLayer
    from kerastune_llm.models.layout import Layout

# By model type: whose attention it has. Of the others some have positions that a prefix
# has no place in (DeBERTa, RoFormer), some windows instead of full attention (LED).
_FAMILIES: Mapping[str, str] = {
    "t5": "t5",
    "mt5": "t5",
    **dict.fromkeys(("bart", "mbart", "pegasus", "marian"), "bart"),
    **dict.fromkeys(("blenderbot", "blenderbot-small"), "bart"),
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra"), "bert"),
    "distilbert": "distilbert",
    "mpnet": "mpnet",
    "albert": "albert",
}
# How the names of learned positions end, after the module that embeds them.
_POSITIONS = {
    "bart": ("decoder.embed_positions", ".weight"),
    "bert": ("embeddings", ".position_embeddings.weight"),
}


@METHODS.register("prefix")
@dataclass(frozen=True)
class Prefix:
    """Attend to trained keys and values before the sequence's, in every layer.

    In an encoder-decoder they are those of the decoder's self-attention, as in PEFT.
    The head of a classifier trains whole. Names and files are PEFT's, which itself has
    no prefix for DistilBERT, MPNet and ALBERT (Li and Liang 2021,
    https://arxiv.org/abs/2101.00190).

    Args:
        num_virtual_tokens: Length of the prefix, at least 1. Where positions are
            learned, inputs have to be shorter by that.
        use_projection: Train a table and a two-layer network that computes the prefix
            instead of the prefix itself; only the result is saved.
        projection_width: Width between the network's layers; by default the model's.
        modules_to_save: Ends of names of modules that train whole and are saved with
            the prefix, comma-separated.
    """

    num_virtual_tokens: int = 20
    use_projection: bool = False
    projection_width: int | None = None
    modules_to_save: tuple[str, ...] = ()

    default_learning_rate: ClassVar[float] = 1e-2
    form: ClassVar[Form] = Form(
        "PREFIX_TUNING",
        "prefix",
        {"num_virtual_tokens": "num_virtual_tokens"},
        model_values=prefix_values,
        pack=write_prefix,
        unpack=read_prefix,
    )

    def __post_init__(self) -> None:
        check_fields(self, _checks(self))

    def sites(self, layout: "Layout") -> tuple[str, ...]:
        """Names of the self-attention modules, and of what embeds positions."""
        return (*_attentions(layout), *_positions(layout))

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """The model's own parameters that train: saved modules and the head."""
        return saved_names((*self.modules_to_save, *head_modules(layout)), layout)

    def wrap(
        self, layers: "Mapping[str, keras.layers.Layer]", layout: "Layout"
    ) -> "dict[str, DeltaLayer]":
        """The layers that take the places of attentions and embedded positions."""
        from kerastune_llm.models.prefix_attention import FAMILIES
        from kerastune_llm.models.prefix_layers import PrefixTable

        attention, positions = FAMILIES[_family(layout)]
        options = {"method": self, "num_virtual_tokens": self.num_virtual_tokens}
        names = _attentions(layout)
        table = None
        if self.use_projection:
            table = PrefixTable(
                layers[names[0]],
                num_virtual_tokens=self.num_virtual_tokens,
                hidden_width=self.projection_width,
            )
        made = {name: attention(layers[name], table=table, **options) for name in names}
        shifted = {
            name: positions(layers[name], **options) for name in _positions(layout)
        }
        return made | shifted


def _family(layout: "Layout") -> str:
    family = _FAMILIES.get(layout.model_type)
    if family is None:
        raise UserError(
            f"A prefix has no defined place in the attention of {layout.model_type}.",
            accepted=", ".join(_FAMILIES),
            received=layout.model_type,
            mend="--method lora, ia3 or adapter; in a deberta-v2 also prompt",
        )
    return family


def _attentions(layout: "Layout") -> tuple[str, ...]:
    """The self-attentions of the stack that the head reads, in model order."""
    _family(layout)
    blocks = layout.blocks[layout.head_stack]
    inside = frozenset().union(*(block.parameters for block in blocks))
    queries = set(layout.roles["query"])
    return tuple(
        name.rpartition(".")[0]
        for name in layout.dense
        if name in queries
        and f"{name}.weight" in inside
        and not is_cross_attention(name)
    )


def _positions(layout: "Layout") -> tuple[str, ...]:
    module, rest = _POSITIONS.get(_family(layout), ("", ""))
    names = (name for name in layout.names if module and name.endswith(module + rest))
    return tuple(name.removesuffix(rest) for name in names)


def _checks(method: Prefix) -> tuple[tuple[bool, str, str, str], ...]:
    width = method.projection_width
    accepted = "a whole number from 1"
    return (
        (
            method.num_virtual_tokens >= 1,
            "num_virtual_tokens",
            accepted,
            "--method.num-virtual-tokens 20",
        ),
        (
            width is None or (width >= 1 and method.use_projection),
            "projection_width",
            f"{accepted}, with use_projection",
            "--method.use-projection true",
        ),
    )
