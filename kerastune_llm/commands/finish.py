"""The first and the last files of a run directory."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kerastune_llm import __version__
from kerastune_llm.backend import tf
from kerastune_llm.commands.console import console
from kerastune_llm.commands.job import Job, data_source
from kerastune_llm.commands.model_card import model_card, place_of_run
from kerastune_llm.config import read_config_file
from kerastune_llm.rundir import RunDir, write_json, write_text
from kerastune_llm.training.prediction_plots import plot_confusion, plot_lengths
from kerastune_llm.training.reports import plot_history

PACKAGES = (
    "tensorflow",
    "tf-keras",
    "transformers",
    "tokenizers",
    "datasets",
    "numpy",
    "safetensors",
)


def begin_run(run: RunDir, job: Job) -> None:
    """Write down what is about to be run, and with what."""
    values = job.config.to_values()
    if job.task.labels:
        values["task"]["labels"] = list(job.task.labels)
    write_json(run.environment, describe_environment())
    # The last: it is what tells that a run was begun.
    write_json(run.config, values)


def describe_environment() -> dict[str, Any]:
    """Versions, devices and the command, for `environment.json`."""
    versions = {"kerastune_llm": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],
        "versions": versions,
        "platform": platform.platform(),
        "cpu_cores": len(os.sched_getaffinity(0)),
        "devices": [device.name for device in tf.config.list_physical_devices()],
    }


def finish_run(
    run: RunDir,
    job: Job,
    metrics: Mapping[str, float] | None,
    facts: Mapping[str, Any],
) -> None:
    """Write plots, the model card and, last, `metrics.json`.

    The facts are added to `environment.json`, where programs find them.

    Args:
        run: The run directory, its model saved.
        job: What was run.
        metrics: The saved model's; `None` without validation rows.
        facts: Parameter counts, rows and steps.
    """
    metrics = metrics or {}
    records = run.read_predictions("validation")
    facts = {**facts, "validation_rows": len(records)}
    plot_history(run.read_history(), run.plots)
    _plot_predictions(run, job, records)
    write_text(run.card, model_card(job, place_of_run(run), metrics, facts))
    environment = read_config_file(run.environment)
    write_json(run.environment, {**environment, "trained": facts})
    write_json(run.metrics, metrics)


def _plot_predictions(
    run: RunDir, job: Job, records: Sequence[Mapping[str, Any]]
) -> None:
    """Where labels are confused; how the length of an input matters for a text."""
    if not records:
        return
    if job.task.kind == "classification":
        plot_confusion(records, job.task.labels, run.plots / "confusion.png")
    elif job.task.kind == "seq2seq":
        plot_lengths(records, run.plots / "lengths.png")


def say_what_next(run: RunDir, job: Job) -> None:
    """Say where everything is, and the commands that go on from here."""
    path = run.place
    trained = run.trained.name
    console.print(
        f"wrote {path}: {trained}/, predictions/, metrics.json, plots/, README.md"
    )
    console.print(f"  score again:   kerastune evaluate {path}")
    console.print(
        f"  answer rows:   kerastune predict {path} --input rows.jsonl "
        "--output answers.jsonl"
    )
    console.print(f"  curves:        tensorboard --logdir {path}/tensorboard")
    task, model = job.task.name, job.config.model
    if model == "starter":
        console.print(
            "This was the bundled starter, a toy next to a real model. The real one:\n"
            f"  kerastune train {task} --model google/flan-t5-small"
        )
    elif data_source(job.config) == "sample":
        console.print(
            "These were generated sample rows. The real ones:\n"
            f"  kerastune train {task} --model {model} --data.source hub"
        )
