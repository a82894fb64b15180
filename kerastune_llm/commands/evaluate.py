"""`kerastune evaluate`: score a run's model on validation rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerastune_llm.commands.console import console, logging_to, progress, show_table
from kerastune_llm.commands.finished_run import load_scorer, open_run
from kerastune_llm.commands.splits import load_validation, say_truncation
from kerastune_llm.config import read_config_file
from kerastune_llm.remote import here
from kerastune_llm.rundir import RunDir, write_json, write_jsonl


def evaluate(
    run: str | Path,
    *,
    changes: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
) -> dict[str, float]:
    """Score a run's saved model, by default on the run's own validation rows.

    Args:
        run: The run directory.
        changes: Nested values laid over the run's configuration, such as
            `{"data": {"validation": "other.jsonl"}}`.
        output: Folder for `metrics.json` and `predictions.jsonl`; nothing is written
            without it.

    Returns:
        Metrics by flat name.

    Raises:
        UserError: No run there, or something is wrong with the rows.
    """
    output = None if output is None else here(output)
    with logging_to(None):
        run_dir, job = open_run(run, changes)
        split = load_validation(job)
        say_truncation("validation", split)
        scorer = load_scorer(run_dir, job)
        with progress("scoring") as on_batch:
            scores = scorer.score(split.rows, split.tokenised, on_batch)
        _show(scores.metrics, None if changes else _own_metrics(run_dir))
        if output is not None:
            write_jsonl(output / "predictions.jsonl", scores.records)
            write_json(output / "metrics.json", scores.metrics)
            console.print(f"wrote {output}: metrics.json, predictions.jsonl")
    return scores.metrics


def _own_metrics(run: RunDir) -> dict[str, float] | None:
    return read_config_file(run.metrics) if run.metrics.exists() else None


def _show(metrics: dict[str, float], own: dict[str, float] | None) -> None:
    if own is None:
        show_table("metrics", ["metric", "value"], metrics.items())
        return
    rows = [(name, value, own.get(name, "")) for name, value in metrics.items()]
    show_table("metrics", ["metric", "now", "metrics.json"], rows)
    same = "the same as" if metrics == own else "not the same as"
    console.print(f"{same} the run's own metrics.json")
