"""(IA)³: one trained factor for each output of keys, values and feed-forward layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kerastune_llm.errors import UserError
from kerastune_llm.methods.forms import Form
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

# (targets, feed-forward ones) where PEFT's table differs from keys, values and the
# feed-forward layer that writes the block's output.
_PEFT_DEFAULTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mt5": (("k", "v", "wi_1"), ()),
    "bart": (("q_proj", "v_proj", "fc2"), ("fc2",)),
}


@METHODS.register("ia3")
@dataclass(frozen=True)
class IA3:
    """Scale outputs of keys and values, and inputs of feed-forward layers.

    The factors start at one. The head of a classifier trains whole. Names, defaults
    and files are PEFT's (Liu et al. 2022, https://arxiv.org/abs/2205.05638).

    Args:
        target_modules: Ends of PyTorch-style module names, comma-separated, such as
            "k,v,wo"; a regular expression over whole names; or all-linear. By default
            keys, values and the second feed-forward layer.
        feedforward_modules: Those of the targets whose inputs are scaled instead of
            their outputs. By default the model type's feed-forward layer.
        modules_to_save: Ends of names of modules that train whole and are saved with
            the adapter, comma-separated.
    """

    # The paper's section 3.3, which trains with Adafactor.
    default_learning_rate: ClassVar[float] = 3e-3

    target_modules: tuple[str, ...] | str | None = None
    feedforward_modules: tuple[str, ...] | None = None
    modules_to_save: tuple[str, ...] = ()

    form: ClassVar[Form] = Form(
        "IA3",
        "ia3",
        {name: name for name in ("target_modules", "feedforward_modules")},
        lambda method, layout, _: {
            "target_modules": written_targets(method, layout),
            "feedforward_modules": sorted(method.feedforward(layout)),
        },
    )

    def __post_init__(self) -> None:
        check_pattern(self.target_modules)
        outside = set(self.feedforward_modules or ()) - set(self.target_modules or ())
        if isinstance(self.target_modules, tuple) and outside:
            raise UserError(
                "Feed-forward modules have to be among the target modules.",
                accepted=", ".join(self.target_modules),
                received=f"feedforward_modules={', '.join(sorted(outside))}",
            )

    def targets(self, layout: "Layout") -> tuple[str, ...] | str:
        """`target_modules`, or the model type's default."""
        if self.target_modules is not None:
            return self.target_modules
        return _defaults(layout)[0]

    def feedforward(self, layout: "Layout") -> tuple[str, ...]:
        """`feedforward_modules`, or those of the defaults that are targets."""
        if self.feedforward_modules is not None:
            return self.feedforward_modules
        targets = self.targets(layout)
        default = _defaults(layout)[1]
        if isinstance(targets, str):
            return default
        return tuple(module for module in default if module in targets)

    def sites(self, layout: "Layout") -> tuple[str, ...]:
        """Names of the dense modules to change."""
        saved = (*self.modules_to_save, *head_modules(layout))
        return target_sites(self.targets(layout), layout, saved)

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """The model's own parameters that train: saved modules and the head."""
        return saved_names((*self.modules_to_save, *head_modules(layout)), layout)

    def wrap(
        self, layers: Mapping[str, "keras.layers.Dense"], layout: "Layout"
    ) -> "dict[str, DeltaLayer]":
        """The layers that take the places of the dense layers."""
        from kerastune_llm.models.delta_layers import IA3Dense

        # As PEFT compares these: the end of a name, not of a segment.
        ends = self.feedforward(layout)
        return {
            module: IA3Dense(layer, method=self, is_feedforward=module.endswith(ends))
            for module, layer in layers.items()
        }


def _defaults(layout: "Layout") -> tuple[tuple[str, ...], tuple[str, ...]]:
    if layout.model_type in _PEFT_DEFAULTS:
        return _PEFT_DEFAULTS[layout.model_type]
    roles = role_suffixes(layout.model_type, layout.dense)
    if not roles:
        raise UserError(
            f"There are no default target modules for {layout.model_type}.",
            accepted=f"ends of its module names: {', '.join(layout.dense[:6])}, …",
            mend="--method.target-modules with the ends of names",
        )
    last = roles["feed_forward"][-1:]
    return (*roles["key"], *roles["value"], *last), last
