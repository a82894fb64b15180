"""The files of a comparison and its table on the console."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas

from kerastune_llm.commands.console import console, show_table
from kerastune_llm.commands.study import Progress, failure_lines
from kerastune_llm.rundir import write_json, write_text
from kerastune_llm.training.comparison import (
    Record,
    Row,
    rank_by_convergence,
    rank_by_performance,
    summarise,
)
from kerastune_llm.training.reports import markdown_table
from kerastune_llm.training.study_plots import plot_convergence

README = """\
# Methods compared on {task}

{table}
{names}
The score is {metric} of the saved model on the validation rows: mean and
standard deviation over runs that differ by their seed. Steps to 95 %: updates until it
is within 5 % of the run's best, as far as evaluations show. Time and peak memory are
those of the run's whole process, its start and its evaluations included; the file is
what the method saves.

{rankings}

Performance ranks the score; convergence its mean over the whole run, which is better
the sooner it gets there. `≈` joins neighbours that are no further apart than the larger
of their standard deviations.

![score and training loss against optimizer updates](convergence.png)

A line is the mean over the seeds, its band goes from the lowest to the highest.
{failures}
The runs are in `runs/`, their configurations in `configs/`, what they printed in
`logs/`. The same command again goes on where this one ended.
"""
COLUMNS = (
    "method",
    "runs",
    "score",
    "trained %",
    "steps to 95 %",
    "time s",
    "peak MB",
    "file MB",
)


def write_report(
    folder: Path,
    records: Sequence[Record],
    *,
    progress: Progress,
    task: str,
    metric: str,
    short_names: Mapping[str, str],
) -> list[Row]:
    """Write compare.json, compare.csv, convergence.png and README.md; print the table.

    Args:
        folder: Of the comparison.
        records: Its finished runs; nothing is written where there is none.
        progress: Which runs failed.
        task: Name of the task.
        metric: The metric compared by.
        short_names: What table, plot and ranking call each group of records; the files
            for further work have the whole names.

    Returns:
        The rows of the table.
    """
    if not records:
        return []
    is_loss = metric == "loss"
    groups = {short: whole for whole, short in short_names.items()}
    records = [replace(x, group=short_names[x.group]) for x in records]
    rows = summarise(records, lower_is_better=is_loss)
    rankings = {
        "performance": rank_by_performance(rows, lower_is_better=is_loss),
        "convergence": rank_by_convergence(rows, lower_is_better=is_loss),
    }
    values = [{**row.to_values(), "method": groups[row.group]} for row in rows]
    record = {
        "task": task,
        "metric": metric,
        "rows": values,
        "ranking": rankings,
        "failures": progress.failures,
    }
    write_json(folder / "compare.json", record)
    write_text(folder / "compare.csv", pandas.DataFrame(values).to_csv(index=False))
    plot_convergence(records, metric, folder / "convergence.png")
    cells = [_cells(row) for row in rows]
    text = README.format(
        task=task,
        metric=metric,
        table=markdown_table(COLUMNS, cells),
        names=_explained(groups),
        rankings="\n".join(f"- {name}: {order}" for name, order in rankings.items()),
        failures=failure_lines(progress),
    )
    write_text(folder / "README.md", text)
    show_table(f"{metric} on {task}", COLUMNS, cells)
    for name, order in rankings.items():
        console.print(f"{name}: {order}", markup=False)
    console.print(
        f"wrote {folder}: README.md, compare.json, compare.csv, convergence.png"
    )
    return rows


def _explained(groups: Mapping[str, str]) -> str:
    """What short names stand for, as lines of markdown; nothing where none is short.

    >>> _explained({"lora": "lora:rank=4", "full": "full"})
    '\\n- lora: `lora:rank=4`\\n'
    """
    lines = [f"- {name}: `{whole}`" for name, whole in groups.items() if name != whole]
    return "\n".join(["", *lines, ""]) if lines else ""


def _cells(row: Row) -> list[str]:
    """A row of the table as text; a dash for what was not measured."""
    facts = row.facts
    spread = "" if row.spread is None else f" ± {row.spread:.2g}"
    return [
        row.group,
        str(row.runs),
        f"{row.mean:.4g}{spread}",
        f"{facts['percent']:.3g}",
        f"{row.steps_to_near_best:.0f}",
        f"{facts['seconds']:.0f}" if "seconds" in facts else "–",
        f"{facts['peak_memory'] / 1e6:,.0f}" if "peak_memory" in facts else "–",
        f"{facts['file_size'] / 1e6:.3g}",
    ]
