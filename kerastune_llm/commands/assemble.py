"""What train, evaluate and predict share: from a RunConfig to task, rows and columns."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from transformers import PreTrainedTokenizerBase

from kerastune_llm.config import RunConfig
from kerastune_llm.data.features import TruncationReport, tokenise
from kerastune_llm.data.sources import discover_labels, load_rows
from kerastune_llm.models.loading import load_config, load_tokenizer, supports_head
from kerastune_llm.tasks.custom import configure_task
from kerastune_llm.tasks.task import Task, get_task
from kerastune_llm.training.scoring import Scorer

logger = logging.getLogger(__name__)

BUNDLED = ("starter", "minilm")
HELD_OUT_ROWS_AT_MOST = 1000


@dataclass(frozen=True)
class Recipe:
    """A configuration made concrete: the task in its form, the tokenizer, lengths."""

    config: RunConfig
    task: Task
    tokenizer: PreTrainedTokenizerBase
    as_text: bool

    @property
    def max_input_tokens(self) -> int:
        return self.config.data.max_input_tokens or self.task.max_input_tokens

    @property
    def max_target_tokens(self) -> int:
        return self.config.data.max_target_tokens or self.task.max_target_tokens

    @property
    def best_metric(self) -> str:
        return self.config.evaluation.metric or self.task.best_metric


@dataclass(frozen=True)
class Split:
    """Rows of one split and their token columns."""

    rows: datasets.Dataset
    tokenised: datasets.Dataset
    truncation: TruncationReport


def assemble(config: RunConfig, model_source: str | Path | None = None) -> Recipe:
    """The task as configured, the tokenizer, and the form the model asks for.

    Args:
        config: The run's configuration.
        model_source: Where the tokenizer and the model's config are read from, when
            not `config.model`.

    Raises:
        UserError: The model cannot do the task.
    """
    options = config.task.model_dump(exclude={"name", "form"}, exclude_none=True)
    task = configure_task(get_task(config.task.name), **options)
    source = model_source or config.model
    as_text = not task.has_labels or config.task.form == "text"
    if config.task.form == "auto" and task.has_labels:
        as_text = not supports_head(load_config(source))
    return Recipe(config, task, load_tokenizer(source), as_text)


def with_labels(recipe: Recipe, rows: datasets.Dataset) -> Recipe:
    """The recipe with the task's labels, discovered in `rows` if the task names none."""
    if not recipe.task.has_labels or recipe.task.labels:
        return recipe
    labels = discover_labels(recipe.task, rows)
    logger.info("labels found: %s", ", ".join(labels))
    return replace(recipe, task=replace(recipe.task, labels=labels))


def data_source(config: RunConfig) -> str:
    """Where rows come from: `"files"`, `"sample"` or `"hub"`."""
    if config.data.source != "auto":
        return config.data.source
    if config.data.train or config.data.validation:
        return "files"
    return "sample" if config.model in BUNDLED else "hub"
