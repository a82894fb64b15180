"""Training more of a model from one optimizer update to the next."""

import logging
from collections.abc import Iterable, Sequence

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.surgery import set_trainable
from kerastune_llm.models.torch_layout import torch_parameters

logger = logging.getLogger(__name__)


class Thaw(keras.callbacks.Callback):
    """Trains the parameters of stage `n` from `n * every` updates on.

    The stage follows the optimizer's own count, so that a second `fit` or a resumed run
    goes on where it was. Needs an optimizer of `build_optimizer`: Adam corrects its
    moments, which begin at zero, by the number of updates, and Keras' own counts them
    from the beginning of the run. The first hundred updates of a weight thawed later
    would be up to 6.6 times too long (with the usual betas).

    Args:
        stages: Names that train, as in `torch_parameters(model)`; each stage holds
            those of the stage before.
        every: Optimizer updates from one stage to the next.

    Raises:
        UserError: At the beginning of `fit`, if the optimizer is another.
    """

    def __init__(self, stages: Sequence[frozenset[str]], *, every: int) -> None:
        super().__init__()
        self.stages = tuple(stages)
        self.every = every
        self._stage: int | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        optimizer = _countable(self.model.optimizer)
        # Memory for all moments from the start: better to run out of it now than in
        # the middle of the run.
        optimizer.build(self._variables(self.stages[-1]))
        known: frozenset[str] = frozenset()
        for index, names in enumerate(self.stages):
            thawing = self._variables(names - known)
            optimizer.count_updates_from(index * self.every, thawing)
            known = names
        self._stage = None
        self._follow()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._follow()

    def next_due(self, step: int) -> int | None:
        """The first update after `step` from which on more trains."""
        is_last = step // self.every >= len(self.stages) - 1
        return None if is_last else step + self.every - step % self.every

    def _follow(self) -> None:
        """Train what is to train after this many updates."""
        steps = int(self.model.optimizer.iterations.numpy())
        stage = min(steps // self.every, len(self.stages) - 1)
        if stage == self._stage:
            return
        self._stage = stage
        set_trainable(self.model, self.stages[stage])
        # `fit` calls the attribute at every step, and the old step is gone.
        self.model.make_train_function(force=True)
        logger.info("from update %d on stage %d trains", steps + 1, stage + 1)

    def _variables(self, names: Iterable[str]) -> list[tf.Variable]:
        parameters = torch_parameters(self.model)
        return [parameters[name].variable for name in sorted(names)]


def _countable(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """The optimizer, out of its loss scale, if it can count per weight."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not hasattr(inner, "count_updates_from"):
        raise UserError(
            "This optimizer counts the updates of a weight from the beginning of the "
            "run, and would move weights that thaw later too far.",
            accepted="an optimizer of kerastune_llm.build_optimizer",
            received=type(inner).__name__,
            mend='model.compile(build_optimizer("adamw", learning_rate=5e-5))',
        )
    return inner
