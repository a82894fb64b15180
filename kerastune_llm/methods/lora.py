"""LoRA and DoRA: a low-rank change beside the dense layers of a frozen model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from kerastune_llm.errors import UserError
from kerastune_llm.methods.forms import Form
from kerastune_llm.methods.method import check_fields
from kerastune_llm.methods.targets import (
    check_pattern,
    head_modules,
    saved_names,
    target_sites,
    written_targets,
)
from kerastune_llm.models.module_roles import role_suffixes
from kerastune_llm.registry import METHODS

if TYPE_CHECKING:
    from kerastune_llm.backend import keras
    from kerastune_llm.models.delta_layers import DeltaLayer
    from kerastune_llm.models.layout import Layout


@METHODS.register("lora")
@dataclass(frozen=True)
class LoRA:
    """Add `scaling · B A x` to dense layers; A is `[rank, inputs]`, B starts at zero.

    The head of a classifier trains whole. Names, defaults and files are PEFT's
    (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    Args:
        rank: Rows of A: the capacity of the change, at least 1.
        alpha: The change is scaled by alpha / rank.
        dropout: Share of the change's inputs dropped in training, from 0 to below 1.
        use_rslora: Scale by alpha / sqrt(rank), which keeps high ranks learning.
        use_dora: Train the length of each output's weights apart from their direction.
        bias: Which of the model's own biases train too: none, all, or lora_only (of
            the changed layers). T5 has none.
        target_modules: Ends of PyTorch-style module names, comma-separated, such as
            "q,v"; a regular expression over whole names; or all-linear. By default
            query and value.
        modules_to_save: Ends of names of modules that train whole and are saved with
            the adapter, comma-separated.
    """

    # PEFT's examples for text to text.
    default_learning_rate: ClassVar[float] = 1e-3

    rank: int = 8
    alpha: float = 8.0
    dropout: float = 0.0
    use_rslora: bool = False
    use_dora: bool = False
    bias: Literal["none", "all", "lora_only"] = "none"
    target_modules: tuple[str, ...] | str | None = None
    modules_to_save: tuple[str, ...] = ()

    form: ClassVar[Form] = Form(
        "LORA",
        "lora",
        {
            "r": "rank",
            "lora_alpha": "alpha",
            "lora_dropout": "dropout",
            "use_rslora": "use_rslora",
            "use_dora": "use_dora",
            "bias": "bias",
            "target_modules": "target_modules",
        },
        lambda method, layout, _: {"target_modules": written_targets(method, layout)},
    )

    def __post_init__(self) -> None:
        check_pattern(self.target_modules)
        check_fields(self, _checks(self))

    @property
    def scaling(self) -> float:
        """The factor of the change.

        >>> LoRA(rank=4, alpha=8).scaling, LoRA(rank=4, use_rslora=True).scaling
        (2.0, 4.0)
        """
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)

    def targets(self, layout: "Layout") -> tuple[str, ...] | str:
        """`target_modules`, or the model type's default: query and value."""
        if self.target_modules is not None:
            return self.target_modules
        roles = role_suffixes(layout.model_type, layout.dense)
        if not roles:
            raise _no_default(layout)
        return (*roles["query"], *roles["value"])

    def sites(self, layout: "Layout") -> tuple[str, ...]:
        """Names of the dense modules to change."""
        saved = (*self.modules_to_save, *head_modules(layout))
        return target_sites(self.targets(layout), layout, saved)

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """The model's own parameters that train: saved modules, head and biases."""
        saved = saved_names((*self.modules_to_save, *head_modules(layout)), layout)
        own = layout.names - layout.part("delta") - layout.fixed
        if self.bias == "all":
            return saved | {name for name in own if name.endswith(".bias")}
        if self.bias == "lora_only":
            return saved | (own & {f"{module}.bias" for module in self.sites(layout)})
        return saved

    def wrap(
        self, layers: Mapping[str, "keras.layers.Dense"], layout: "Layout"
    ) -> "dict[str, DeltaLayer]":
        """The layers that take the places of the dense layers."""
        from kerastune_llm.models.delta_layers import LoRADense

        return {
            module: LoRADense(
                layer,
                method=self,
                rank=self.rank,
                scaling=self.scaling,
                dropout=self.dropout,
                use_dora=self.use_dora,
            )
            for module, layer in layers.items()
        }


@METHODS.register("dora")
@dataclass(frozen=True)
class DoRA(LoRA):
    """LoRA with `use_dora`: lengths of weights are trained apart from directions.

    Liu et al. 2024, https://arxiv.org/abs/2402.09353.
    """

    use_dora: bool = True


def _checks(method: LoRA) -> tuple[tuple[bool, str, str, str], ...]:
    biases = ("none", "all", "lora_only")
    return (
        (method.rank >= 1, "rank", "a whole number from 1", "--method.rank 8"),
        (method.alpha > 0, "alpha", "a number above 0", "--method.alpha 8"),
        (0 <= method.dropout < 1, "dropout", "from 0 to below 1", "--method.dropout 0"),
        (method.bias in biases, "bias", ", ".join(biases), "--method.bias none"),
    )


def _no_default(layout: "Layout") -> UserError:
    return UserError(
        f"There are no default target modules for {layout.model_type}.",
        accepted=f"ends of its module names: {', '.join(layout.dense[:6])}, …",
        mend="--method.target-modules all-linear, or the ends of names",
    )
