"""A run directory opened again, for the verbs that use its model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerastune_llm.commands.job import Job, assemble, make_scorer
from kerastune_llm.config import RunConfig, merge, read_config_file
from kerastune_llm.models.loading import load_model
from kerastune_llm.rundir import RunDir
from kerastune_llm.training.precision import set_precision
from kerastune_llm.training.scoring import Scorer


def open_run(
    path: str | Path, changes: Mapping[str, Any] | None = None
) -> tuple[RunDir, Job]:
    """The run directory and its job, with `changes` laid over its configuration.

    Raises:
        UserError: There is no run with a saved model.
    """
    run = RunDir.open(Path(path))
    values = merge(read_config_file(run.config), changes or {})
    return run, assemble(RunConfig.parse(values), run.model)


def load_scorer(run: RunDir, job: Job) -> Scorer:
    """The run's saved model in the run's precision, ready to answer."""
    model_type = job.model_config.model_type
    set_precision(job.config.runtime.precision, model_type)
    try:
        model = load_model(
            run.model, kind=job.model_kind, labels=job.task.labels or None
        )
    finally:
        set_precision("float32", model_type)
    return make_scorer(job, model)
