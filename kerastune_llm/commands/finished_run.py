"""A run directory opened again, for the verbs that use its model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerastune_llm.commands.job import Job, assemble, make_scorer
from kerastune_llm.commands.saved import load_trained
from kerastune_llm.config import RunConfig, merge, read_config_file
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
    # An adapter's tokenizer and configuration are those of its base model.
    source = run.model if run.model.is_dir() else None
    return run, assemble(RunConfig.parse(values), source)


def load_scorer(run: RunDir, job: Job) -> Scorer:
    """The run's saved model in the run's precision, ready to answer."""
    model_type = job.model_config.model_type
    set_precision(job.config.runtime.precision, model_type)
    try:
        model = load_trained(run, job)
    finally:
        set_precision("float32", model_type)
    return make_scorer(job, model)
