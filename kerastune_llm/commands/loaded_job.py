"""From a configuration to its job with rows, as every verb that trains begins."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from kerastune_llm.commands.job import Job, assemble, with_learning_rate
from kerastune_llm.commands.splits import (
    Split,
    StreamedSplit,
    load_splits,
    say_duplicates,
    say_truncation,
)
from kerastune_llm.config import RunConfig
from kerastune_llm.models.sources import resolve_source
from kerastune_llm.models.stored_tensors import find_tensors
from kerastune_llm.training.precision import computing_in
from kerastune_llm.training.seed import seed_everything


class Loaded(NamedTuple):
    """A job with its labels known, and its rows."""

    job: Job
    training: Split | StreamedSplit
    validation: Split | None


@contextlib.contextmanager
def loaded_job(config: RunConfig) -> Iterator[Loaded]:
    """The job of a configuration, in its precision as long as the context lasts.

    Says what is to be known of the rows.

    Raises:
        UserError: Something is wrong with the configuration, the model or the rows.
    """
    config = with_learning_rate(config)
    seed_everything(config.runtime.seed)
    job = assemble(config)
    with computing_in(config.runtime.precision, job.model_config.model_type):
        if not config.from_scratch:
            # Reads headers only: no row is read for a model without weights.
            find_tensors(resolve_source(config.model))
        job, training, validation = load_splits(job)
        say_truncation("training", training)
        say_truncation("validation", validation)
        say_duplicates(job, training, validation)
        yield Loaded(job, training, validation)
