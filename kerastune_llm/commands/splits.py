"""Rows of a job's splits and their token columns."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np

from kerastune_llm.commands.console import console
from kerastune_llm.commands.job import Job, data_source
from kerastune_llm.commands.mixture import mixture_rows
from kerastune_llm.commands.streaming import check_streaming
from kerastune_llm.commands.validation_rows import has_validation, is_held_out
from kerastune_llm.data.augment import augment, check_kinds
from kerastune_llm.data.duplicates import count_shared
from kerastune_llm.data.encoding import Encoder
from kerastune_llm.data.features import tokenise
from kerastune_llm.data.fingerprint import fingerprint
from kerastune_llm.data.inputs import read_inputs
from kerastune_llm.data.sources import discover_labels, encode_labels, load_rows
from kerastune_llm.data.streaming import Stream, survey
from kerastune_llm.data.subsets import hold_out, subset
from kerastune_llm.data.truncation import TruncationReport, describe_truncation
from kerastune_llm.data.windows import cut_windows, with_windows
from kerastune_llm.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Rows of one split and their token columns."""

    rows: datasets.Dataset
    tokenised: datasets.Dataset
    truncation: TruncationReport

    @property
    def count(self) -> int:
        """Rows of an epoch of it."""
        return len(self.tokenised)

    @property
    def mark(self) -> str:
        """What tells its token columns from any others."""
        return fingerprint(self.tokenised)


@dataclass(frozen=True)
class StreamedSplit:
    """Training rows that are read while they are trained on."""

    stream: Stream

    @property
    def count(self) -> int:
        """Rows of an epoch of it."""
        return self.stream.survey.rows

    @property
    def mark(self) -> str:
        """What tells its rows from any others."""
        return self.stream.survey.digest


def load_splits(job: Job) -> tuple[Job, Split | StreamedSplit, Split | None]:
    """Training and validation rows, tokenised, and the job with its labels known.

    Raises:
        UserError: Something is wrong with the rows or with what is to be made of them.
    """
    if job.config.data.streaming:
        return _streamed(job)
    job, training, validation = training_and_validation(job)
    split = _tokenised(job, training, is_training=True)
    return job, split, None if validation is None else _tokenised(job, validation)


def _streamed(job: Job) -> tuple[Job, StreamedSplit, Split | None]:
    check_streaming(job)
    data, seed = job.config.data, job.config.runtime.seed
    found = survey(job.task, data.train)
    job = replace(job, task=found.task)
    encoder = Encoder(
        job.task,
        job.tokenizer,
        job.as_text,
        job.max_input_tokens,
        job.max_target_tokens,
    )
    split = StreamedSplit(Stream(found, encoder, data.shuffle_buffer, seed))
    if is_held_out(job.config):
        logger.warning(
            "no validation rows: no metric, and the last weights are kept; none are "
            "held out of a streamed file (--data.validation FILE)"
        )
        return job, split, None
    validation = subset(
        _rows(job, "validation"), data.max_validation_samples, seed=seed
    )
    return job, split, _tokenised(job, validation)


def training_and_validation(
    job: Job,
) -> tuple[Job, datasets.Dataset, datasets.Dataset | None]:
    """The rows that a run trains and validates on, and the job with its labels known.

    Without a validation file, a fraction of the training file's rows is held out. The
    training rows are those that are left of them, and those made from these.
    """
    check_kinds(job.task, job.config.data.augment)
    if job.task.members:
        return job, mixture_rows(job, "train"), mixture_rows(job, "validation")
    training = _rows(job, "train")
    if job.task.lacks_labels:
        labels = discover_labels(job.task, training)
        logger.info("%d labels found: %s", len(labels), ", ".join(labels))
        training = encode_labels(training, labels)
        job = replace(job, task=replace(job.task, labels=labels))
    data, seed = job.config.data, job.config.runtime.seed
    if is_held_out(job.config):
        training, validation = hold_out(training, data.validation_fraction, seed=seed)
    else:
        validation = _rows(job, "validation")
    by = "label" if job.task.kind == "classification" else None
    training = subset(training, data.max_train_samples, seed=seed, by=by)
    if validation is not None:
        validation = subset(validation, data.max_validation_samples, seed=seed)
    return job, _augmented(job, training), validation


def load_validation(job: Job) -> Split:
    """The validation rows of a run, held out again where they were; tokenised.

    Raises:
        UserError: The run had none.
    """
    return _tokenised(job, validation_rows(job))


def tokenise_rows(job: Job, rows: datasets.Dataset) -> Split:
    """Canonical rows of a job's task, tokenised for its model."""
    return _tokenised(job, rows)


def validation_rows(job: Job) -> datasets.Dataset:
    """The validation rows of a run, held out again where they were.

    Raises:
        UserError: The run had none.
    """
    if job.task.members:
        return mixture_rows(job, "validation")
    data, seed = job.config.data, job.config.runtime.seed
    if not has_validation(job.config):
        validation = None
    elif is_held_out(job.config):
        training = _rows(job, "train")
        _, validation = hold_out(training, data.validation_fraction, seed=seed)
    else:
        validation = _rows(job, "validation")
    if validation is None:
        raise UserError(
            "This run has no validation rows.", mend="--data.validation FILE"
        )
    return subset(validation, data.max_validation_samples, seed=seed)


def load_inputs(job: Job, path: str | Path, form: str | None = None) -> Split:
    """The rows of a file, or of standard input, that are to be answered; tokenised."""
    return _tokenised(job, read_inputs(job.task, path, form=form))


def say_truncation(name: str, split: Split | StreamedSplit | None) -> None:
    """Say how many rows a split has and what truncation cost, where that is known."""
    if isinstance(split, Split):
        text = describe_truncation(split.truncation)
        console.print(f"{name}: {len(split.rows):,} rows; {text}", markup=False)


def say_duplicates(
    job: Job, training: Split | StreamedSplit, validation: Split | None
) -> bool:
    """Warn of validation rows whose input the model is trained on; whether any are.

    Of streamed rows it is not known.
    """
    if validation is None or isinstance(training, StreamedSplit):
        return False
    names = job.task.fields(as_text=job.as_text)
    count = count_shared(validation.rows, training.rows, names)
    if count:
        logger.warning(
            "%d of %d validation rows have an input that a training row has, too: "
            "their scores say little of new rows",
            count,
            len(validation.rows),
        )
    return bool(count)


def _rows(job: Job, split: str) -> datasets.Dataset:
    source = data_source(job.config)
    path = getattr(job.config.data, split) if source == "files" else None
    return load_rows(job.task, split, source=source, path=path)


def _augmented(job: Job, training: datasets.Dataset) -> datasets.Dataset:
    """The training rows, and those made from them; says how many by kind."""
    kinds = job.config.data.augment
    if not kinds:
        return training
    rows, counts = augment(training, job.task, kinds, seed=job.config.runtime.seed)
    for made in counts:
        logger.info("augment %s", made)
    return rows


def _tokenised(job: Job, rows: datasets.Dataset, *, is_training: bool = False) -> Split:
    """The rows with their token columns.

    Where long contexts are cut into windows, the training rows are the windows to learn
    from. A row to be answered stays one, with the ids of all its windows as `windows`;
    its other columns are those of the first window that it could be learned from.
    """
    if job.config.data.long_context == "truncate":
        return _encoded(job, rows)
    windows = cut_windows(
        rows,
        job.task,
        job.tokenizer,
        max_input_tokens=job.max_input_tokens,
        stride=job.config.data.stride,
    )
    chosen = windows.holding_answer()
    if is_training:
        return _encoded(job, windows.rows.select(chosen))
    _, firsts = np.unique(windows.owners[chosen], return_index=True)
    one = _encoded(job, windows.rows.select(chosen[firsts]))
    every = _encoded(job, windows.rows)
    tokenised = with_windows(one.tokenised, every.tokenised, windows.owners)
    return Split(rows, tokenised, one.truncation)


def _encoded(job: Job, rows: datasets.Dataset) -> Split:
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
