"""The front matter of a model card: what the hub reads of it."""

import math
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import (
    EvalResult,
    ModelCard,
    ModelCardData,
    try_to_load_from_cache,
)

from kerastune_llm.commands.in_pytorch import is_pefts
from kerastune_llm.commands.job import BUNDLED_SETTINGS, Job, data_source
from kerastune_llm.models.sources import resolve_source

# Bundled models that are on the hub, too.
HUB_NAMES = {"minilm": "sentence-transformers/all-MiniLM-L6-v2"}
LICENSE_FIELDS = ("license", "license_name", "license_link")


def card_data(
    job: Job, metrics: Mapping[str, float], *, name: str, is_adapter: bool
) -> ModelCardData:
    """The front matter, checked by huggingface_hub.

    Args:
        job: What was run, its labels known.
        metrics: The final validation metrics; what is no number is left out.
        name: The model's name, for its results.
        is_adapter: Whether the card is of an adapter by itself.
    """
    names = {**dict.fromkeys(job.task.metrics)}
    if job.task.members:
        members = job.task.members.values()
        names = dict.fromkeys(x for member in members for x in member.metrics)
    return ModelCardData(
        library_name=_library(job) if is_adapter else "transformers",
        base_model=base_on_hub(job),
        **_licence_of_base(job),
        pipeline_tag="text2text-generation" if job.as_text else "text-classification",
        tags=["tensorflow", "keras", "kerastune", job.config.method.name],
        datasets=_datasets(job),
        metrics=list(names) or None,
        model_name=name,
        eval_results=_results(job, metrics) or None,
    )


def base_on_hub(job: Job) -> str | None:
    """The base model's id on the hub; `None` of a folder or of random weights."""
    model = job.config.model
    if job.config.from_scratch or Path(model).expanduser().is_dir():
        return None
    return HUB_NAMES.get(model) if model in BUNDLED_SETTINGS else model


def rows_of(job: Job, split: str) -> tuple[str, str]:
    """Where the rows of a split come from: a name for programs, and one for people."""
    task, source = job.task, data_source(job.config)
    if source == "hub" and task.hub:
        config = f" ({task.hub_config})" if task.hub_config else ""
        return task.hub, task.hub + config
    if source == "sample":
        return task.name, f"the generated sample of {task.name}"
    data = job.config.data
    file = getattr(data, split) or data.train
    return task.name, Path(file).name if file else f"files of {task.name}"


def _library(job: Job) -> str:
    return "peft" if is_pefts(job) else "kerastune_llm"


def _datasets(job: Job) -> list[str] | None:
    if data_source(job.config) != "hub":
        return None
    tasks = list(job.task.members.values()) or [job.task]
    return list(dict.fromkeys(task.hub for task in tasks if task.hub)) or None


def _results(job: Job, metrics: Mapping[str, float]) -> list[EvalResult]:
    kind, name = rows_of(job, "validation")
    has_config = kind == job.task.hub
    return [
        EvalResult(
            task_type="text-classification"
            if job.task.has_labels
            else "text2text-generation",
            task_name=job.task.name,
            dataset_type=kind,
            dataset_name=name,
            dataset_config=job.task.hub_config if has_config else None,
            dataset_split="validation",
            metric_type=metric,
            metric_name=metric,
            metric_value=value,
        )
        for metric, value in metrics.items()
        if math.isfinite(value) and not metric.endswith(("_low", "_high"))
    ]


def _licence_of_base(job: Job) -> dict[str, str]:
    """What the base model's own card says of its licence, if it has one."""
    card = _card_of_base(job)
    if job.config.from_scratch or card is None:
        return {}
    data = ModelCard.load(card, ignore_metadata_errors=True).data
    found = {name: data.get(name) for name in LICENSE_FIELDS}
    return {name: value for name, value in found.items() if value}


def _card_of_base(job: Job) -> Path | None:
    model = job.config.model
    if model in BUNDLED_SETTINGS or Path(model).expanduser().is_dir():
        card = resolve_source(model) / "README.md"
        return card if card.is_file() else None
    # The download of the model put it there.
    cached = try_to_load_from_cache(model, "README.md")
    return Path(cached) if isinstance(cached, str) else None
