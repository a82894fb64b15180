"""The files of a study of transfer and its matrix on the console."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas

from kerastune_llm.commands.console import console, show_table
from kerastune_llm.commands.study import Progress, failure_lines
from kerastune_llm.config import RunConfig
from kerastune_llm.rundir import write_json, write_text
from kerastune_llm.training.reports import markdown_table
from kerastune_llm.training.study_plots import plot_heat_map

UNTUNED = "untuned"
README = """\
# What transfers between {tasks}

Base model {model}, method {method}. Rows: what was trained on; columns: the task whose
validation rows were scored.

{table}

{metrics}

![the matrix, coloured by share](transfer.png)

The colour is a score's share of the column's own, the model trained on that very task;
grey where that is not above zero.

{what}
{failures}
The runs are in `runs/`, their configurations in `configs/`, what they printed in
`logs/`. The same command again goes on where this one ended.
"""
TEXT = "All tasks are text to text; what the method trained was moved as it is."
HEADS = (
    "The tasks have the same labels; the trained head was moved along. The\nuntuned "
    "model has no head and no row."
)


def write_report(
    folder: Path,
    scores: Mapping[str, Mapping[str, float]],
    *,
    progress: Progress,
    config: RunConfig,
) -> None:
    """Write transfer.json, transfer.csv, transfer.png and README.md; print the matrix.

    Args:
        folder: Of the study.
        scores: By what was trained on, then by what was scored on.
        progress: The finished runs, which are the columns, and the failed ones.
        config: What the runs have in common.
    """
    metrics = {trial.name: trial.metric for trial in progress.finished}
    table = pandas.DataFrame(scores, dtype=float).T[list(metrics)]
    shares = shares_of_own(table)
    record = {
        "model": config.model,
        "method": config.method.name,
        "metrics": metrics,
        "scores": scores,
        "shares": _plain(shares),
        "failures": progress.failures,
    }
    write_json(folder / "transfer.json", record)
    write_text(folder / "transfer.csv", table.to_csv(index_label="trained on"))
    plot_heat_map(table, shares, folder / "transfer.png")
    columns = ["trained on", *metrics]
    cells = [[name, *(f"{score:.4g}" for score in row)] for name, row in _rows(table)]
    text = README.format(
        tasks=", ".join(metrics),
        model=config.model,
        method=config.method.name,
        table=markdown_table(columns, cells),
        metrics="\n".join(f"- {name}: {metric}" for name, metric in metrics.items()),
        what=TEXT if UNTUNED in scores else HEADS,
        failures=failure_lines(progress),
    )
    write_text(folder / "README.md", text)
    show_table(f"{config.method.name} on {config.model}, scored on", columns, cells)
    files = "README.md, transfer.json, transfer.csv, transfer.png"
    console.print(f"wrote {folder}: {files}", markup=False)


def shares_of_own(scores: pandas.DataFrame) -> pandas.DataFrame:
    """Each score in units of its column's own: what was trained on that very task.

    Not a number in a column whose own score is not above zero.

    Args:
        scores: Rows by what was trained on, columns by what was scored on.

    Example:
    >>> scores = pandas.DataFrame({"a": [0.8, 0.2], "b": [0.1, 0.4]}, index=["a", "b"])
    >>> shares_of_own(scores).loc["b", "a"]
    np.float64(0.25)
    """
    own = pandas.Series({task: scores.loc[task, task] for task in scores})
    return scores / own.where(own > 0)


def _rows(table: pandas.DataFrame) -> Iterator[tuple[str, list[float]]]:
    return zip(table.index, table.to_numpy().tolist(), strict=True)


def _plain(shares: pandas.DataFrame) -> dict[str, dict[str, float | None]]:
    """Nested plain values; JSON has no "not a number"."""
    return {
        name: {
            task: None if np.isnan(share) else share
            for task, share in zip(shares.columns, row, strict=True)
        }
        for name, row in _rows(shares)
    }
