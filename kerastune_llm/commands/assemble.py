"""What train, evaluate and predict share: from a RunConfig to task, rows, columns."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from kerastune_llm.backend import keras
from kerastune_llm.commands.console import console
from kerastune_llm.config import RunConfig, flag
from kerastune_llm.data.features import tokenise
from kerastune_llm.data.sources import discover_labels, encode_labels, load_rows
from kerastune_llm.data.truncation import TruncationReport, describe_truncation
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.models.compatibility import misfits, position_limit
from kerastune_llm.models.model_config import class_for, load_config, supports_head
from kerastune_llm.models.tokenizer import load_tokenizer
from kerastune_llm.tasks.custom import configure_task
from kerastune_llm.tasks.task import Task, get_task
from kerastune_llm.training.scoring import Scorer

logger = logging.getLogger(__name__)

# What the bundled models are best trained with, where nothing else is asked for.
BUNDLED_SETTINGS: dict[str, dict[str, float | int]] = {
    "starter": {"learning_rate": 1e-3, "batch_size": 32, "epochs": 8, "warmup": 0.05},
    "minilm": {"batch_size": 32},
}


@dataclass(frozen=True)
class Recipe:
    """A configuration made concrete.

    Args:
        config: The configuration.
        task: The task as configured, its labels known once rows were read.
        tokenizer: The model's tokenizer.
        model_config: The model's configuration.
        as_text: Whether the model generates the answer rather than choosing a label.
    """

    config: RunConfig
    task: Task
    tokenizer: PreTrainedTokenizerBase
    model_config: PretrainedConfig
    as_text: bool

    @property
    def model_kind(self) -> str:
        """The kind of model to load."""
        return "seq2seq" if self.as_text else self.task.kind

    @property
    def max_input_tokens(self) -> int:
        """Length inputs are cut at: as asked for, else the task's, if it fits."""
        asked = self.config.data.max_input_tokens
        limit = position_limit(self.model_config, self.tokenizer)
        wanted = self.task.max_input_tokens
        return asked or (min(wanted, limit) if limit else wanted)

    @property
    def max_target_tokens(self) -> int:
        """Length targets are cut at."""
        return self.config.data.max_target_tokens or self.task.max_target_tokens


@dataclass(frozen=True)
class Split:
    """Rows of one split and their token columns."""

    rows: datasets.Dataset
    tokenised: datasets.Dataset
    truncation: TruncationReport


def with_bundled_settings(config: RunConfig) -> RunConfig:
    """The configuration with the settings of a bundled model where none were given."""
    settings = BUNDLED_SETTINGS.get(config.model, {})
    given = config.optim.model_fields_set
    missing = {name: value for name, value in settings.items() if name not in given}
    if "max_steps" in given:
        missing.pop("epochs", None)
    if not missing:
        return config
    shown = ", ".join(f"{flag(('optim', name))} {v}" for name, v in missing.items())
    logger.info("settings of the bundled %s: %s", config.model, shown)
    return config.updated({"optim": missing})


def assemble(config: RunConfig, model_source: str | Path | None = None) -> Recipe:
    """The task as configured, the tokenizer, and the form the model asks for.

    Args:
        config: The run's configuration.
        model_source: Where the tokenizer and the model's config are read from, when
            not `config.model`.

    Raises:
        UserError: The task or the model's folder is not right, or they do not fit.
    """
    options = config.task.model_dump(exclude={"name", "form"}, exclude_none=True)
    options["best_metric"] = config.evaluation.metric
    task = configure_task(get_task(config.task.name), **options)
    source = model_source or config.model
    model_config = load_config(source)
    as_text = not task.has_labels or config.task.form == "text"
    if config.task.form == "auto" and task.has_labels:
        as_text = not supports_head(model_config)
    class_for(model_config, "seq2seq" if as_text else task.kind)
    recipe = Recipe(config, task, load_tokenizer(source), model_config, as_text)
    problems = list(
        misfits(
            model_config,
            recipe.tokenizer,
            max_input_tokens=recipe.max_input_tokens,
            max_target_tokens=recipe.max_target_tokens if as_text else 0,
        )
    )
    if problems:
        raise UserErrors(problems)
    return recipe


def load_splits(recipe: Recipe) -> tuple[Recipe, Split, Split | None]:
    """Training and validation rows, tokenised, and the recipe with its labels known.

    Without a validation file, a fraction of the training file's rows is held out.
    """
    training = _rows(recipe, "train")
    if recipe.task.has_labels and not recipe.task.labels:
        labels = discover_labels(recipe.task, training)
        logger.info("labels found: %s", ", ".join(labels))
        training = encode_labels(training, labels)
        recipe = replace(recipe, task=replace(recipe.task, labels=labels))
    data, seed = recipe.config.data, recipe.config.runtime.seed
    if data_source(recipe.config) != "files" or data.validation is not None:
        validation = _rows(recipe, "validation")
    else:
        training, validation = _hold_out(training, data.validation_fraction, seed)
    training = _subset(training, data.max_train_samples, seed)
    split = _tokenised(recipe, training)
    if validation is None:
        return recipe, split, None
    validation = _subset(validation, data.max_validation_samples, seed)
    return recipe, split, _tokenised(recipe, validation)


def load_validation(recipe: Recipe) -> Split:
    """The validation rows of a run, held out again where they were; tokenised.

    Raises:
        UserError: The run had none.
    """
    data, seed = recipe.config.data, recipe.config.runtime.seed
    if data_source(recipe.config) != "files" or data.validation is not None:
        validation = _rows(recipe, "validation")
    else:
        validation = _hold_out(_rows(recipe, "train"), data.validation_fraction, seed)[
            1
        ]
    if validation is None:
        raise UserError(
            "This run has no validation rows.", mend="--data.validation FILE"
        )
    return _tokenised(recipe, _subset(validation, data.max_validation_samples, seed))


def load_inputs(recipe: Recipe, path: Path) -> Split:
    """The rows of a file that are to be answered, tokenised."""
    rows = load_rows(
        recipe.task, "validation", source="files", path=path, require_target=False
    )
    return _tokenised(recipe, rows)


def make_scorer(recipe: Recipe, model: keras.Model) -> Scorer:
    """A scorer with the evaluation settings of the recipe."""
    evaluation = recipe.config.evaluation
    return Scorer(
        model,
        recipe.tokenizer,
        recipe.task,
        as_text=recipe.as_text,
        batch_size=evaluation.batch_size,
        num_beams=evaluation.num_beams,
        max_new_tokens=evaluation.max_new_tokens or recipe.max_target_tokens,
        max_input_tokens=recipe.max_input_tokens,
    )


def say_truncation(name: str, split: Split | None) -> None:
    """Say how many rows a split has and what truncation cost."""
    if split is not None:
        text = describe_truncation(split.truncation)
        console.print(f"{name}: {len(split.rows):,} rows; {text}", markup=False)


def data_source(config: RunConfig) -> str:
    """Where rows come from: `"files"`, `"sample"` or `"hub"`."""
    if config.data.source != "auto":
        return config.data.source
    if config.data.train or config.data.validation:
        return "files"
    return "sample" if config.model in BUNDLED_SETTINGS else "hub"


def _rows(recipe: Recipe, split: str) -> datasets.Dataset:
    source = data_source(recipe.config)
    path = getattr(recipe.config.data, split) if source == "files" else None
    return load_rows(recipe.task, split, source=source, path=path)


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


def _tokenised(recipe: Recipe, rows: datasets.Dataset) -> Split:
    done = tokenise(
        rows,
        recipe.task,
        recipe.tokenizer,
        as_text=recipe.as_text,
        max_input_tokens=recipe.max_input_tokens,
        max_target_tokens=recipe.max_target_tokens,
        num_proc=recipe.config.data.num_proc,
    )
    return Split(rows, done.dataset, done.truncation)
