"""Rows of a mixture: each task's own, from its own source, mixed by their rates."""

import logging
from dataclasses import replace

import datasets

from kerastune_llm.commands.job import Job, data_source
from kerastune_llm.data.mixing import as_mixture_rows, mix_rows
from kerastune_llm.data.sources import discover_labels, encode_labels, load_rows
from kerastune_llm.data.subsets import subset
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.mixture import mixing_shares
from kerastune_llm.tasks.task import Task

logger = logging.getLogger(__name__)


def mixture_rows(job: Job, split: str) -> datasets.Dataset:
    """The rows of a mixture's split; training rows are mixed by their rates.

    `--data.max-train-samples` and `--data.max-validation-samples` hold for each task.

    Raises:
        UserError: Rows of a task cannot be had, or the rates are not right.
    """
    limits = job.config.data.max_train_samples, job.config.data.max_validation_samples
    limit = limits[0] if split == "train" else limits[1]
    loaded = {}
    for name, member in job.task.members.items():
        rows = _member_rows(job, member, split)
        by = "target" if member.kind == "classification" else None
        seed = job.config.runtime.seed
        loaded[name] = subset(
            rows, limit, seed=seed, by=by if split == "train" else None
        )
    if split != "train":
        return datasets.concatenate_datasets(list(loaded.values()))
    mixture = job.config.mixture
    counts = {name: len(rows) for name, rows in loaded.items()}
    shares = mixing_shares(
        counts, mixture.rates, cap=mixture.cap, temperature=mixture.temperature
    )
    shown = (f"{n} {shares[n]:.1%} of {counts[n]:,} rows" for n in shares)
    logger.info("mixture: %s", ", ".join(shown))
    seed = job.config.runtime.seed
    return mix_rows(loaded, shares, cap=mixture.cap, seed=seed)


def _member_rows(job: Job, member: Task, split: str) -> datasets.Dataset:
    source = data_source(job.config)
    path = None
    if source == "files":
        files = getattr(job.config.mixture, split)
        if member.name not in files:
            raise UserError(
                f"There is no {split} file of the task {member.name}.",
                mend=f"--mixture.{split} {member.name}=FILE",
            )
        path = files[member.name]
    rows = load_rows(member, split, source=source, path=path)
    if member.lacks_labels:
        labels = discover_labels(member, rows)
        rows, member = encode_labels(rows, labels), replace(member, labels=labels)
    return as_mixture_rows(member, rows)
