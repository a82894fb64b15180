"""`kerastune compare`: methods trained on the same data, side by side."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastune_llm.commands.compare_report import write_report
from kerastune_llm.commands.configured_task import configured_task
from kerastune_llm.commands.study import Progress, run_trials
from kerastune_llm.commands.trials import Study, Trial
from kerastune_llm.commands.validation_rows import has_validation
from kerastune_llm.commands.variants import Variant, parse_variants, short_labels
from kerastune_llm.config import RunConfig, merge, read_config_file
from kerastune_llm.errors import UserError, UserErrors, unknown_name
from kerastune_llm.training.comparison import Record, Row


@dataclass(frozen=True)
class Comparison:
    """What a comparison came to.

    Args:
        folder: With the runs, the table and the plot.
        rows: One a method, or a model and a method.
        progress: Which runs are there, and which failed.
    """

    folder: Path
    rows: list[Row]
    progress: Progress


def compare(
    config: RunConfig | Mapping[str, Any],
    *,
    methods: str | Sequence[str],
    models: Sequence[str] = (),
    seeds: int = 1,
    learning_rates: Mapping[str, float] | None = None,
) -> Comparison:
    """Train each method, with each model and seed, and write what they came to.

    The order of the rows depends on the seed alone, so methods see the same data.
    Runs that are finished in the folder already are not run again.

    Args:
        config: Of every run, except for the method; `output` is the folder.
        methods: `"full,lora,lora:rank=32"`, or the parts of it.
        models: Base models; default: the configuration's.
        seeds: Runs of each, with `runtime.seed` and the numbers after it.
        learning_rates: Peak learning rate by method, where not the configuration's.

    Raises:
        UserErrors: Something is wrong with the configuration, or the folder holds
            runs with another one.
    """
    if not isinstance(config, RunConfig):
        config = RunConfig.parse(config)
    metric = configured_task(config).best_metric
    variants = parse_variants(
        methods if isinstance(methods, str) else ",".join(methods)
    )
    rates = dict(learning_rates or {})
    _check(config, variants, seeds, rates)
    study = Study(config.output or _default_folder(config, models))
    trials = [
        trial
        for variant in variants
        for trial in _trials(config, variant, models, seeds, rates)
    ]
    progress = run_trials(study, trials)
    records = [_record(study, trial) for trial in progress.finished]
    rows = write_report(
        study.path,
        records,
        progress=progress,
        task=config.task.name,
        metric=metric,
        short_names=_short_names(variants, models),
    )
    return Comparison(study.path, rows, progress)


def _short_names(variants: Sequence[Variant], models: Sequence[str]) -> dict[str, str]:
    """What each group is called where there is little room."""
    return {
        _group(model, label): _group(model, short)
        for model in models or [None]
        for label, short in short_labels(variants).items()
    }


def _group(model: str | None, label: str) -> str:
    """A method, with the model where several were asked for."""
    return label if model is None else f"{Path(model).name} {label}"


def _default_folder(config: RunConfig, models: Sequence[str]) -> Path:
    """No time in it: the same command finds its runs again."""
    names = [Path(model).name for model in models or [config.model]]
    return Path("runs") / "-".join(["compare", config.task.name, *names])


def _check(
    config: RunConfig,
    variants: Sequence[Variant],
    seeds: int,
    learning_rates: Mapping[str, float],
) -> None:
    """Refuse what no run of the comparison could tell.

    Raises:
        UserErrors: All of it.
    """
    methods = {variant.method for variant in variants}
    problems = [
        unknown_name("method of --learning-rates", name, methods)
        for name in learning_rates
        if name not in methods
    ]
    if seeds < 1:
        problems.append(UserError("--seeds must be 1 or more.", received=seeds))
    if not has_validation(config):
        problems.append(
            UserError(
                "A comparison needs validation rows.", mend="--data.validation FILE"
            )
        )
    if problems:
        raise UserErrors(problems)


def _trials(
    config: RunConfig,
    variant: Variant,
    models: Sequence[str],
    seeds: int,
    learning_rates: Mapping[str, float],
) -> Iterator[Trial]:
    """The runs of one variant: one for each model and seed."""
    metric = configured_task(config).best_metric
    values = merge(
        config.given(exclude={"output", "method"}),
        {"method": {"name": variant.method, **variant.options}},
    )
    if variant.method in learning_rates:
        rate = learning_rates[variant.method]
        values = merge(values, {"optim": {"learning_rate": rate}})
    for model in models or [config.model]:
        # Named where several were asked for, so that runs keep their names.
        parts = [Path(model).name] if models else []
        group = _group(model if models else None, variant.label)
        for seed in range(config.runtime.seed, config.runtime.seed + seeds):
            yield Trial(
                name="-".join([*parts, variant.slug, str(seed)]),
                group=group,
                title=f"{group}, seed {seed}",
                metric=metric,
                values=merge(values, {"model": model, "runtime": {"seed": seed}}),
            )


def _record(study: Study, trial: Trial) -> Record:
    """What a finished run says."""
    run, metric = study.run(trial), trial.metric
    history = run.read_history()
    curve = [(x["step"], x["evaluation"][metric]) for x in history if "evaluation" in x]
    trained = read_config_file(run.environment)["trained"]
    return Record(
        group=trial.group,
        score=read_config_file(run.metrics)[metric],
        evaluations=[(step, value) for step, value in curve if not math.isnan(value)],
        losses=[(x["step"], x["loss"]) for x in history if "loss" in x],
        facts={
            "trainable": trained["trainable"],
            "percent": trained["percent"],
            **study.measured(trial),
            "file_size": sum(
                file.stat().st_size for file in run.trained.glob("*.safetensors")
            ),
        },
    )
