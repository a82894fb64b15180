"""Rows of a job's splits and their token columns."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np

from kerastune_llm.commands.console import console
from kerastune_llm.commands.job import Job, data_source
from kerastune_llm.commands.mixture import mixture_rows
from kerastune_llm.data.features import tokenise
from kerastune_llm.data.sources import discover_labels, encode_labels, load_rows
from kerastune_llm.data.truncation import TruncationReport, describe_truncation
from kerastune_llm.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Rows of one split and their token columns."""

    rows: datasets.Dataset
    tokenised: datasets.Dataset
    truncation: TruncationReport


def load_splits(job: Job) -> tuple[Job, Split, Split | None]:
    """Training and validation rows, tokenised, and the job with its labels known.

    Without a validation file, a fraction of the training file's rows is held out.
    """
    if job.task.members:
        split = _tokenised(job, mixture_rows(job, "train"))
        return job, split, _tokenised(job, mixture_rows(job, "validation"))
    training = _rows(job, "train")
    if job.task.lacks_labels:
        labels = discover_labels(job.task, training)
        logger.info("%d labels found: %s", len(labels), ", ".join(labels))
        training = encode_labels(training, labels)
        job = replace(job, task=replace(job.task, labels=labels))
    data, seed = job.config.data, job.config.runtime.seed
    if data_source(job.config) != "files" or data.validation is not None:
        validation = _rows(job, "validation")
    else:
        training, validation = _hold_out(training, data.validation_fraction, seed)
    training = _subset(training, data.max_train_samples, seed)
    split = _tokenised(job, training)
    if validation is None:
        return job, split, None
    validation = _subset(validation, data.max_validation_samples, seed)
    return job, split, _tokenised(job, validation)


def load_validation(job: Job) -> Split:
    """The validation rows of a run, held out again where they were; tokenised.

    Raises:
        UserError: The run had none.
    """
    if job.task.members:
        return _tokenised(job, mixture_rows(job, "validation"))
    data, seed = job.config.data, job.config.runtime.seed
    if data_source(job.config) != "files" or data.validation is not None:
        validation = _rows(job, "validation")
    else:
        validation = _hold_out(_rows(job, "train"), data.validation_fraction, seed)[1]
    if validation is None:
        raise UserError(
            "This run has no validation rows.", mend="--data.validation FILE"
        )
    return _tokenised(job, _subset(validation, data.max_validation_samples, seed))


def load_inputs(job: Job, path: Path) -> Split:
    """The rows of a file that are to be answered, tokenised."""
    rows = load_rows(
        job.task, "validation", source="files", path=path, require_target=False
    )
    return _tokenised(job, rows)


def say_truncation(name: str, split: Split | None) -> None:
    """Say how many rows a split has and what truncation cost."""
    if split is not None:
        text = describe_truncation(split.truncation)
        console.print(f"{name}: {len(split.rows):,} rows; {text}", markup=False)


def _rows(job: Job, split: str) -> datasets.Dataset:
    source = data_source(job.config)
    path = getattr(job.config.data, split) if source == "files" else None
    return load_rows(job.task, split, source=source, path=path)


def _hold_out(
    rows: datasets.Dataset, fraction: float, seed: int
) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    count = int(round(fraction * len(rows)))
    if count == 0:
        logger.warning("no validation rows: no metric, and the last weights are kept")
        return rows, None
    logger.info("%d of %d rows are held out for validation", count, len(rows))
    order = np.random.default_rng(seed).permutation(len(rows))
    return rows.select(np.sort(order[count:])), rows.select(np.sort(order[:count]))


def _subset(
    rows: datasets.Dataset, max_rows: int | None, seed: int
) -> datasets.Dataset:
    if max_rows is None or max_rows >= len(rows):
        return rows
    order = np.random.default_rng(seed).permutation(len(rows))
    return rows.select(np.sort(order[:max_rows]))


def _tokenised(job: Job, rows: datasets.Dataset) -> Split:
    done = tokenise(
        rows,
        job.task,
        job.tokenizer,
        as_text=job.as_text,
        max_input_tokens=job.max_input_tokens,
        max_target_tokens=job.max_target_tokens,
        num_proc=job.config.data.num_proc,
    )
    return Split(rows, done.dataset, done.truncation)
