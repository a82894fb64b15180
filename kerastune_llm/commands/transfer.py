"""`kerastune transfer`: what is learned on one task, scored on the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastune_llm.commands.console import logging_to
from kerastune_llm.commands.job import Job, assemble
from kerastune_llm.commands.study import Progress, run_trials
from kerastune_llm.commands.transfer_cells import score_base, score_run
from kerastune_llm.commands.transfer_report import UNTUNED, write_report
from kerastune_llm.commands.trials import Study, Trial
from kerastune_llm.config import RunConfig, merge, read_config_file
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.methods.method import make_method

DEFAULT_METHOD = "lora"
_FILES = (".json", ".yaml", ".yml")


@dataclass(frozen=True)
class Transfer:
    """What a study of transfer came to.

    Args:
        folder: With the runs, the matrix and the heat map.
        scores: Validation score by what was trained on, then by what was scored on.
        progress: Which runs are there, and which failed.
    """

    folder: Path
    scores: dict[str, dict[str, float]]
    progress: Progress


def transfer(values: Mapping[str, Any], *, tasks: Sequence[str]) -> Transfer:
    """Train on each task and score every model on the validation rows of all.

    Whatever the method saves is what transfers: an adapter on the same base model, or
    the whole model. Tasks that are text to text can always be scored across. A
    classification head goes along only where the labels are the same.

    Args:
        values: Nested values of a RunConfig that hold for every task; without a
            method, `lora`.
        tasks: Registered names, or configuration files (json, yaml) with a task and
            its data. A file gives the task its name; what it says goes before the
            common values.

    Raises:
        UserErrors: Something is wrong with a configuration, the tasks cannot be scored
            across, or the folder holds runs with another configuration.
    """
    configs = _configs(values, tasks)
    jobs = {name: assemble(config) for name, config in configs.items()}
    _check_comparable(jobs)
    common = next(iter(configs.values()))
    study = Study(common.output or _default_folder(common, configs))
    trials = [
        Trial(
            name=name,
            group=name,
            title=name,
            metric=jobs[name].task.best_metric,
            values=config.given(exclude={"output"}),
        )
        for name, config in configs.items()
    ]
    progress = run_trials(study, trials)
    if progress.interrupted or not progress.finished:
        return Transfer(study.path, {}, progress)
    scores = _scores(study, progress.finished, with_base=jobs[trials[0].name].as_text)
    write_report(study.path, scores, progress=progress, config=common)
    return Transfer(study.path, scores, progress)


def _scores(
    study: Study, trials: Sequence[Trial], *, with_base: bool
) -> dict[str, dict[str, float]]:
    """The matrix row by row; the base model's row first, where it can answer at all."""
    with logging_to(None):
        rows = {UNTUNED: score_base(study, trials)} if with_base else {}
        return rows | {trial.name: score_run(study, trial, trials) for trial in trials}


def _configs(values: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, RunConfig]:
    """Each task's configuration by its name."""
    if len(set(tasks)) < 2 or len(set(tasks)) < len(tasks):
        raise UserError(
            "--tasks must name two or more tasks, each once.",
            received=",".join(tasks) or "nothing",
        )
    values = {"method": DEFAULT_METHOD, **values}
    configs: dict[str, RunConfig] = {}
    problems: list[UserError] = []
    for entry in tasks:
        try:
            name, own = _own_values(entry, values)
            config = RunConfig.parse(merge(values, own))
            make_method(config.method.name, config.method.options)
            configs[name] = config
        except UserError as problem:
            problems.append(problem)
    if problems:
        raise UserErrors(dict.fromkeys(map(str, problems)))
    if len(configs) < len(tasks):
        raise UserError(
            "Two of the tasks have the same name.", received=",".join(tasks)
        )
    _check_common(configs)
    return configs


def _check_common(configs: Mapping[str, RunConfig]) -> None:
    """Refuse files that ask for models between which nothing can move."""
    common = {"model", "from_scratch", "method"}
    shown = {
        name: config.model_dump(include=common) for name, config in configs.items()
    }
    first = next(iter(shown.values()))
    other = next((name for name, values in shown.items() if values != first), None)
    if other is not None:
        raise UserError(
            "All tasks need the same base model and method.",
            received=f"{next(iter(shown))}: {first}; {other}: {shown[other]}",
            mend="leave them out of the tasks' files, and say --model and --method",
        )


def _own_values(entry: str, values: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The name of one of `--tasks`, and the values that are its own."""
    if Path(entry).suffix in _FILES:
        return Path(entry).stem, read_config_file(Path(entry))
    if {"train", "validation"} & set(values.get("data", {})):
        raise UserError(
            "One file cannot serve several tasks.",
            mend="a configuration file for each, with task and data: --tasks a.yaml,"
            "b.yaml",
        )
    return entry, {"task": {"name": entry}}


def _check_comparable(jobs: Mapping[str, Job]) -> None:
    """Refuse tasks of which one's model cannot answer another's rows.

    Raises:
        UserError: Heads with other labels, or heads beside text.
    """
    heads = {name: job for name, job in jobs.items() if not job.as_text}
    answers = {(job.task.kind, job.task.labels) for job in heads.values()}
    same = len(answers) == 1 and len(heads) == len(jobs)
    if not heads or (same and all(map(_knows_labels, heads.values()))):
        return
    shown = "; ".join(
        f"{name}: {', '.join(job.task.labels) or 'labels not yet known'}"
        if name in heads
        else f"{name}: text"
        for name, job in jobs.items()
    )
    raise UserError(
        "A classification head does not transfer to a task with other labels: only "
        "the layers below it would.",
        accepted="tasks with the same labels, or text to text",
        received=shown,
        mend="--task.form text with a T5-like --model",
    )


def _knows_labels(job: Job) -> bool:
    return bool(job.task.labels) or job.task.kind == "regression"


def _default_folder(config: RunConfig, names: Iterable[str]) -> Path:
    """No time in it: the same command finds its runs again."""
    parts = ["transfer", config.method.name, Path(config.model).name, *names]
    return Path("runs") / "-".join(parts)
