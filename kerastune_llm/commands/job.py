"""The job that a RunConfig describes: task, model's configuration, tokenizer, form."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from kerastune_llm.backend import keras
from kerastune_llm.commands.configured_task import configured_task
from kerastune_llm.commands.validation_rows import reads_files
from kerastune_llm.config import RunConfig, flag
from kerastune_llm.config_groups import OptimConfig
from kerastune_llm.data.windows import is_windowed
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.methods.method import (
    DEFAULT_LEARNING_RATE,
    Method,
    make_method,
    own_learning_rate,
)
from kerastune_llm.models.compatibility import misfits, position_limit
from kerastune_llm.models.model_config import class_for, load_config, supports_head
from kerastune_llm.models.packed import PACKABLE
from kerastune_llm.models.tokenizer import load_tokenizer
from kerastune_llm.tasks.task import Task
from kerastune_llm.training.scoring import Scorer

logger = logging.getLogger(__name__)

# What the bundled models are best trained with, where nothing else is asked for.
BUNDLED_SETTINGS: dict[str, dict[str, float | int]] = {
    "starter": {"batch_size": 32, "epochs": 5, "warmup": 0.05},
    "minilm": {"batch_size": 32},
}
# By method; methods without a learning rate of their own go by that of `full`.
BUNDLED_LEARNING_RATES: dict[str, dict[str, float]] = {
    "starter": {"full": 1e-3, "lora": 3e-3, "dora": 3e-3},
}


@dataclass(frozen=True)
class Job:
    """A configuration made concrete, read by every verb that runs a model.

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
    def method(self) -> Method:
        """The method with its hyper-parameters."""
        return make_method(self.config.method.name, self.config.method.options)

    @property
    def model_kind(self) -> str:
        """The kind of model to load."""
        return "seq2seq" if self.as_text else self.task.kind

    @property
    def max_input_tokens(self) -> int:
        """Length inputs are cut at: as asked for, else the task's, if it fits."""
        asked = self.config.data.max_input_tokens
        reserved = virtual_tokens(self.config)
        limit = position_limit(self.model_config, self.tokenizer, reserved)
        wanted = self.task.max_input_tokens
        return asked or (min(wanted, limit) if limit else wanted)

    @property
    def max_target_tokens(self) -> int:
        """Length targets are cut at: as asked for, else the task's.

        One label written as text is never cut: a tokenizer with small pieces may need
        more of them than the task foresees.
        """
        asked = self.config.data.max_target_tokens
        is_one_label = self.task.kind == "classification" and self.task.labels
        if asked or not (self.as_text and is_one_label):
            return asked or self.task.max_target_tokens
        return max(map(len, self.tokenizer(list(self.task.labels)).input_ids))


def with_bundled_settings(config: RunConfig) -> RunConfig:
    """The configuration with the settings of a bundled model where none were given."""
    settings = BUNDLED_SETTINGS.get(config.model, {})
    given = set(config.optim.model_fields_set)
    found: dict[str, int | str] = {}
    if config.optim.batch_size == "auto":
        given.discard("batch_size")
        default = OptimConfig.model_fields["batch_size"].default
        found = {"batch_size": default, "accumulate_steps": "auto"}
    missing = {name: value for name, value in settings.items() if name not in given}
    if "max_steps" in given:
        missing.pop("epochs", None)
    if missing:
        shown = ", ".join(f"{flag(('optim', n))} {v}" for n, v in missing.items())
        logger.info("settings of the bundled %s: %s", config.model, shown)
    changes = {**found, **missing}
    return config.updated({"optim": changes}) if changes else config


def with_learning_rate(config: RunConfig) -> RunConfig:
    """The configuration with a learning rate; the log says where it comes from.

    The first there is: what was asked for, what a bundled model is best trained with
    by this method, the method's own, and 5e-5. A method that adds small layers brings
    its own: they begin at nothing, and learn far faster than a model is tuned.
    """
    rate, origin = _learning_rate(config)
    logger.info("learning rate %g: %s", rate, origin)
    if config.optim.learning_rate is not None:
        return config
    return config.updated({"optim": {"learning_rate": rate}})


def _learning_rate(config: RunConfig) -> tuple[float, str]:
    """The peak learning rate, and where it comes from."""
    if config.optim.learning_rate is not None:
        return config.optim.learning_rate, "as given"
    method = config.method.name
    own = own_learning_rate(method)
    bundled = BUNDLED_LEARNING_RATES.get(config.model, {})
    by_method = method if own is not None else "full"
    if by_method in bundled:
        return bundled[by_method], f"the bundled {config.model}'s"
    if own is not None:
        return own, f"the default of the method {method}"
    return DEFAULT_LEARNING_RATE, "the default"


def data_source(config: RunConfig) -> str:
    """Where rows come from: `"files"`, `"sample"` or `"hub"`."""
    if reads_files(config):
        return "files"
    if config.data.source != "auto":
        return config.data.source
    return "sample" if config.model in BUNDLED_SETTINGS else "hub"


def assemble(config: RunConfig, model_source: str | Path | None = None) -> Job:
    """The task as configured, the tokenizer, and the form the model asks for.

    Args:
        config: The run's configuration.
        model_source: Where the tokenizer and the model's config are read from, when
            not `config.model`.

    Raises:
        UserError: The task or the model's folder is not right, or they do not fit.
    """
    task = configured_task(config)
    source = model_source or config.model
    model_config = load_config(source)
    as_text = not task.has_labels or config.task.form == "text"
    if config.task.form == "auto" and task.has_labels:
        as_text = not supports_head(model_config)
    class_for(model_config, "seq2seq" if as_text else task.kind)
    job = Job(config, task, load_tokenizer(source), model_config, as_text)
    problems = list(
        misfits(
            model_config,
            job.tokenizer,
            max_input_tokens=job.max_input_tokens,
            max_target_tokens=job.max_target_tokens if as_text else 0,
            reserved=virtual_tokens(config),
        )
    )
    problems += _window_problems(job)
    problems += packing_misfits(config, model_config)
    if problems:
        raise UserErrors(problems)
    return job


def _window_problems(job: Job) -> Iterator[UserError]:
    """What is in the way of cutting long contexts into windows, where that is asked."""
    data = job.config.data
    if data.long_context != "window":
        return
    if not is_windowed(job.task):
        yield UserError(
            f"--data.long-context window is for questions on a context, and the task "
            f"{job.task.name} has none.",
            accepted="a task that writes text, with {question} and {context} in its "
            "template",
            mend="--data.long-context truncate",
        )
    if data.stride >= job.max_input_tokens:
        yield UserError(
            "Windows cannot share as many tokens as they have.",
            accepted=f"--data.stride below {job.max_input_tokens}, the input's length",
            received=f"--data.stride {data.stride}",
        )


def packing_misfits(
    config: RunConfig, model_config: PretrainedConfig
) -> Iterator[UserError]:
    """Why rows cannot be packed, where that is asked for and does not fit."""
    model_type = model_config.model_type
    if config.data.batching != "pack":
        return
    if model_type not in PACKABLE or virtual_tokens(config):
        yield UserError(
            "Rows can be packed for models that know no absolute positions, and by "
            "methods that put nothing before the input.",
            accepted=f"{' or '.join(PACKABLE)}, and any method but prefix and prompt",
            received=f"{model_type} with --method {config.method.name}",
            mend="--data.batching bucket",
        )


def virtual_tokens(config: RunConfig) -> int:
    """Positions that the method of a run takes: those of a prefix or a prompt."""
    method = make_method(config.method.name, config.method.options)
    return getattr(method, "num_virtual_tokens", 0)


def make_scorer(job: Job, model: keras.Model) -> Scorer:
    """A scorer with the evaluation settings of the job."""
    evaluation = job.config.evaluation
    return Scorer(
        model,
        job.tokenizer,
        job.task,
        as_text=job.as_text,
        batch_size=evaluation.batch_size,
        num_beams=evaluation.num_beams,
        max_new_tokens=evaluation.max_new_tokens or job.max_target_tokens,
        max_input_tokens=job.max_input_tokens,
        use_intervals=evaluation.confidence,
    )
