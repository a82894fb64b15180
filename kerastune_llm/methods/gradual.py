"""Gradual unfreezing: the top of a model trains first, more blocks join in time."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerastune_llm.errors import UserError
from kerastune_llm.methods.freezing import head_names
from kerastune_llm.registry import METHODS

if TYPE_CHECKING:
    from kerastune_llm.backend import keras
    from kerastune_llm.models.layout import Layout

logger = logging.getLogger(__name__)


@METHODS.register("gradual")
@dataclass(frozen=True)
class Gradual:
    """Train the top block and the head first, then one more block every N updates.

    Encoder and decoder thaw in step, each from its top; final norms and poolers follow
    their stack from the start, and the embeddings come last. Where the LM head shares
    their matrix (t5-*, BART) they train throughout, as in the T5 paper (Raffel et al.
    2020, section 3.5.1, https://arxiv.org/abs/1910.10683; first by Howard and Ruder
    2018, https://arxiv.org/abs/1801.06146). The training step is traced anew at each
    thaw.

    Args:
        blocks: How many blocks of each stack thaw at a time, at least 1.
        every: Optimizer updates from one thaw to the next; by default each stage has
            an equal share of the run.

    `kerastune train` adds the callback that thaws; with `fit` it is yours to add::

        method = Gradual(every=100)
        apply_method(model, method)
        model.compile(build_optimizer("adamw", learning_rate=5e-5))
        model.fit(batches, callbacks=method.callbacks(model, total_steps=500))
    """

    blocks: int = 1
    every: int | None = None

    def __post_init__(self) -> None:
        for field in ("blocks", "every"):
            number = getattr(self, field)
            if number is not None and number < 1:
                raise UserError(
                    f"gradual cannot have this {field}.",
                    accepted="a whole number from 1",
                    received=f"{field}={number}",
                    mend=f"leave --method.{field} out",
                )

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """What trains first; `UserError` for more blocks than there are."""
        return self.stages(layout)[0]

    def stages(self, layout: "Layout") -> tuple[frozenset[str], ...]:
        """What trains in each stage of the run: ever more, and everything in the last.

        Raises:
            UserError: No head, or more blocks at a time than the model has.
        """
        depth = max(map(len, layout.blocks.values()), default=0)
        if self.blocks > depth:
            raise UserError(
                f"The deepest stack of this {layout.model_type} has {depth} blocks "
                "with weights of their own.",
                accepted=f"1 to {depth}",
                received=f"blocks={self.blocks}",
                mend="leave --method.blocks out, or --method full",
            )
        trained = head_names(layout).union(*layout.after_blocks.values())
        everything = layout.names - layout.fixed
        stages = []
        for below in range(0, depth, self.blocks):
            for stack in layout.blocks.values():
                # Counted from the top; nothing is left of a shorter stack.
                thawing = stack[::-1][below : below + self.blocks]
                trained = trained.union(*(block.parameters for block in thawing))
            stages.append(trained & everything)
        return (*stages, everything) if stages[-1] != everything else tuple(stages)

    def callbacks(
        self, model: "keras.Model", total_steps: int
    ) -> "list[keras.callbacks.Callback]":
        """The callback that thaws, for `fit`.

        Args:
            model: The model the method was applied to.
            total_steps: Optimizer updates of the whole run.
        """
        from kerastune_llm.models.layout import layout_of
        from kerastune_llm.models.thawing import Thaw

        stages = self.stages(layout_of(model))
        every = self.every or max(1, total_steps // len(stages))
        begun = min(len(stages), -(-total_steps // every))
        logger.info("gradual: %d stages of %d updates", len(stages), every)
        if begun < len(stages):
            logger.warning(
                "the run ends in stage %d of %d: %d weights never train "
                "(a smaller --method.every reaches them)",
                begun,
                len(stages),
                len(stages[-1] - stages[begun - 1]),
            )
        return [Thaw(stages, every=every)]
