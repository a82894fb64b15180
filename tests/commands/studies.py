"""What studies are tested with: a search, and finished runs written by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerastune_llm.commands.child_process import Outcome
from kerastune_llm.commands.trials import Study, Trial
from kerastune_llm.commands.tune_search import Search
from kerastune_llm.rundir import write_json, write_text


def search(folder: Path, **options) -> Search:
    """The search in a folder; a higher score is better, if not said otherwise."""
    options = {"lower_is_better": False, **options}
    return Search(f"sqlite:///{folder / 'study.db'}", "study", **options)


def write_finished(
    study: Path,
    name: str,
    values: Mapping[str, Any],
    *,
    curve: Sequence[float],
    metric: str = "matthews_correlation",
) -> None:
    """A run evaluated every ten updates, its best model saved as an adapter of 8 bytes.

    It trained 25 of 1000 weights and took 12.5 seconds and 2 MB.
    """
    folder = Study(study)
    trial = Trial(name, name, name, metric, values)
    run = folder.run(trial)
    write_json(folder.config(trial), values)
    write_json(run.config, values)
    write_json(
        run.environment,
        {"trained": {"trainable": 25, "total": 1000, "percent": 2.5}},
    )
    write_text(run.adapter / "adapter_model.safetensors", "8 bytes.")
    for step, score in enumerate(curve, start=1):
        run.append_history({"step": 10 * step, "loss": 1 / step})
        run.append_history({"step": 10 * step, "evaluation": {metric: score}})
    write_json(run.metrics, {metric: max(curve), "loss": 0.1})
    folder.add_measures(trial, Outcome(0, 12.5, 2_000_000, interrupted=False))
