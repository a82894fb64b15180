"""Adapters: a small network behind the projections of a frozen model's blocks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from kerastune_llm.errors import UserError
from kerastune_llm.methods.method import check_fields
from kerastune_llm.methods.targets import (
    free_modules,
    head_modules,
    matches_suffix,
    saved_names,
)
from kerastune_llm.models.module_roles import role_suffixes
from kerastune_llm.registry import METHODS

if TYPE_CHECKING:
    from kerastune_llm.backend import keras
    from kerastune_llm.models.delta_layers import DeltaLayer
    from kerastune_llm.models.layout import Layout

Activation = Literal["relu", "gelu", "swish", "tanh"]
Placement = Literal["houlsby", "pfeiffer"]
# AdapterHub's `reduction_factor`; fewer units than these may all be cut off by relu.
REDUCTION, LEAST_UNITS = 16, 8


@METHODS.register("adapter")
@dataclass(frozen=True)
class Adapter:
    """Put `y + scaling · up(activation(down(y)))` behind attention and feed-forward.

    `up` starts at zero, so the model starts as it was. An adapter follows its
    projection directly, before the block's dropout, residual sum and norm, in every
    stack and in cross-attention too. The head of a classifier trains whole. PEFT has
    no form for it: `adapter/` is the package's own.

    Houlsby et al. 2019, https://arxiv.org/abs/1902.00751; Pfeiffer et al. 2020,
    https://arxiv.org/abs/2005.00247.

    Args:
        bottleneck: Units between down and up, from 1. By default a sixteenth of the
            model's width, as in AdapterHub, and at least 8: 48 for a base model and
            the same small share of any other, where Houlsby's 64 is not.
        activation: relu, gelu, swish or tanh.
        placement: houlsby: after every attention and feed-forward; pfeiffer: after
            feed-forward alone, half the weights and nearly as good.
        scaling: Factor of what the adapter adds, above 0.
        modules_to_save: Ends of names of modules that train whole and are saved with
            the adapter, comma-separated.
    """

    # Within the paper's range of 3e-5 to 3e-3.
    default_learning_rate: ClassVar[float] = 1e-3

    bottleneck: int | None = None
    activation: Activation = "relu"
    placement: Placement = "houlsby"
    scaling: float = 1.0
    modules_to_save: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, _checks(self))

    def sites(self, layout: "Layout") -> tuple[str, ...]:
        """Names of the dense modules that write a sublayer's output."""
        suffixes = role_suffixes(layout.model_type, layout.dense)
        last = suffixes.get("feed_forward", ())[-1:]
        # Not suffixes alone: BERT's `output.dense` also ends its attention's output.
        feed_forward = layout.roles.get("feed_forward", ())
        wanted = {module for module in feed_forward if matches_suffix(module, last)}
        if self.placement == "houlsby":
            wanted.update(layout.roles.get("output", ()))
        free = free_modules(layout, (*self.modules_to_save, *head_modules(layout)))
        found = tuple(module for module in free if module in wanted)
        if not found:
            raise _no_place(layout)
        return found

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """The model's own parameters that train: saved modules and the head."""
        return saved_names((*self.modules_to_save, *head_modules(layout)), layout)

    def wrap(
        self, layers: Mapping[str, "keras.layers.Dense"], layout: "Layout"
    ) -> "dict[str, DeltaLayer]":
        """The layers that take the places of the dense layers."""
        from kerastune_llm.models.adapter_layers import AdapterDense

        return {
            module: AdapterDense(
                layer,
                method=self,
                bottleneck=self.bottleneck or default_bottleneck(layer.units),
                activation=self.activation,
                scaling=self.scaling,
            )
            for module, layer in layers.items()
        }


def default_bottleneck(width: int) -> int:
    """Units of an adapter in a model of this width.

    >>> default_bottleneck(768), default_bottleneck(64)
    (48, 8)
    """
    return max(LEAST_UNITS, width // REDUCTION)


def _checks(method: Adapter) -> tuple[tuple[bool, str, str, str], ...]:
    fits = method.bottleneck is None or method.bottleneck >= 1
    activations, placements = get_args(Activation), get_args(Placement)
    return (
        (fits, "bottleneck", "a whole number from 1", "--method.bottleneck 48"),
        (
            method.activation in activations,
            "activation",
            ", ".join(activations),
            "--method.activation relu",
        ),
        (
            method.placement in placements,
            "placement",
            ", ".join(placements),
            "--method.placement houlsby",
        ),
        (method.scaling > 0, "scaling", "a number above 0", "--method.scaling 1"),
    )


def _no_place(layout: "Layout") -> UserError:
    return UserError(
        f"There is no known place for adapters in this {layout.model_type}.",
        accepted="a model whose attention and feed-forward layers are known, and not "
        "all in modules_to_save",
        received=f"dense modules {', '.join(layout.dense[:6])}, …",
        mend="--method lora with --method.target-modules, the ends of names",
    )
