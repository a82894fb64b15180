"""Whether a run keeps the outputs of its frozen trunk, and computing them."""

import logging
from collections.abc import Callable

from kerastune_llm.backend import keras
from kerastune_llm.commands.job import Job
from kerastune_llm.commands.splits import Split
from kerastune_llm.data.columns import token_column
from kerastune_llm.data.pipeline import build_dataset
from kerastune_llm.errors import UserError
from kerastune_llm.methods.method import make_method
from kerastune_llm.models.trunk import Cut, find_cut
from kerastune_llm.training.trunk_cache import TrunkCache
from kerastune_llm.training.trunk_outputs import TrunkOutputs

logger = logging.getLogger(__name__)

# Of a batch of the longest rows: enough that a product is large, and little memory.
TOKENS_AT_ONCE = 8192


def wanted_trunk(job: Job, model: keras.Model) -> TrunkOutputs | None:
    """The trunk whose outputs the run keeps; `None` where it keeps none.

    By default it does where an epoch without them would compute exactly the same: a
    frozen trunk without dropout, and more than one epoch.

    Raises:
        UserError: It is asked for, and all of the model trains, or rows are packed.
    """
    runtime = job.config.runtime
    if job.config.data.streaming:
        return None
    if job.config.data.batching == "pack":
        if runtime.trunk_cache:
            raise UserError(
                "What a trunk gives is kept for each row, and cannot be packed.",
                received="--runtime.trunk-cache with --data.batching pack",
                mend="--data.batching bucket",
            )
        return None
    cut = lasting_cut(job, model)
    if cut is None:
        if runtime.trunk_cache:
            raise UserError(
                f"There is no frozen trunk to keep the outputs of: "
                f"{job.config.method.name} trains weights from the first layers on.",
                accepted="a method such as head, or last_n",
                received="--runtime.trunk-cache",
                mend="--no-runtime.trunk-cache",
            )
        return None
    return TrunkOutputs(cut) if _is_wanted(job, cut) else None


def lasting_cut(job: Job, model: keras.Model) -> Cut | None:
    """Where the part of the model ends that stays frozen from the first layers on."""
    method = make_method(job.config.method.name, job.config.method.options)
    # A method with callbacks trains more of the model later on.
    return None if hasattr(method, "callbacks") else find_cut(model)


def _is_wanted(job: Job, cut: Cut) -> bool:
    asked = job.config.runtime.trunk_cache
    dropout = cut.dropout
    if asked is None and dropout:
        logger.info(
            "the trunk is frozen: --runtime.trunk-cache would compute it once, without "
            "its dropout of %g",
            dropout,
        )
        return False
    if asked and dropout:
        logger.info("trunk cache: the frozen trunk's dropout of %g is off", dropout)
    epochs = job.config.optim.epochs if job.config.optim.max_steps is None else 2
    return epochs > 1 if asked is None else asked


def filled_cache(
    job: Job,
    trunk: TrunkOutputs,
    split: Split,
    on_batch: Callable[[int, int], None],
) -> TrunkCache:
    """The trunk's outputs for all rows of a split, computed now."""
    lengths = token_column(split.tokenised, trunk.cut.length_column).lengths
    runtime = job.config.runtime
    cache = TrunkCache(
        trunk,
        lengths,
        memory_limit=runtime.trunk_cache_memory,
        precision=runtime.trunk_cache_precision,
    )
    longest = int(token_column(split.tokenised, "input_ids").lengths.max())
    batches = build_dataset(
        split.tokenised,
        tokenizer=job.tokenizer,
        batch_size=max(1, TOKENS_AT_ONCE // longest),
        shuffle=False,
        with_rows=True,
    )
    cache.fill(batches, on_batch)
    return cache
