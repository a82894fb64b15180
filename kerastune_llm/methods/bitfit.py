"""BitFit: the biases and norms of a model train, and no matrix does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kerastune_llm.methods.targets import free_modules, head_modules, saved_names
from kerastune_llm.registry import METHODS

if TYPE_CHECKING:
    from kerastune_llm.backend import keras
    from kerastune_llm.models.delta_layers import DeltaLayer
    from kerastune_llm.models.layout import Layout

# `LayerNorm.weight`, `layer_norm1.0.weight` (Flaubert), `ln_1.weight` (GPT-2).
_NORM = re.compile(r"(norm[^.]*(\.\d+)?|\.ln_\w+)\.weight$", re.IGNORECASE)


@METHODS.register("bitfit")
@dataclass(frozen=True)
class BitFit:
    """Train all biases and the weights of norms.

    A model without biases in its blocks (T5, mT5) is given one for every dense layer
    there, at first zero. The head of a classifier trains whole. PEFT has no form for
    it: `adapter/` is the package's own. Ben-Zaken et al. 2021,
    https://arxiv.org/abs/2106.10199, with the norms' weights besides.

    Args:
        modules_to_save: Ends of names of modules that train whole and are saved with
            the biases, comma-separated.
    """

    # The paper's range is 1e-4 to 1e-3.
    default_learning_rate: ClassVar[float] = 1e-3

    modules_to_save: tuple[str, ...] = ()

    def sites(self, layout: "Layout") -> tuple[str, ...]:
        """Names of the dense modules to give a bias; none where the model has them."""
        blocks = [block for stack in layout.blocks.values() for block in stack]
        inside = frozenset().union(*(block.parameters for block in blocks))
        if any(name.endswith(".bias") for name in inside):
            return ()
        free = free_modules(layout, (*self.modules_to_save, *head_modules(layout)))
        return tuple(module for module in free if f"{module}.weight" in inside)

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """The model's own parameters that train: biases, norms, saved modules, head."""
        own = layout.names - layout.part("delta") - layout.fixed
        small = {name for name in own if name.endswith(".bias") or _NORM.search(name)}
        saved = (*self.modules_to_save, *head_modules(layout))
        return saved_names(saved, layout) | small

    def wrap(
        self, layers: Mapping[str, "keras.layers.Dense"], layout: "Layout"
    ) -> "dict[str, DeltaLayer]":
        """The layers that take the places of the dense layers."""
        from kerastune_llm.models.adapter_layers import BiasDense

        return {m: BiasDense(layer, method=self) for m, layer in layers.items()}
