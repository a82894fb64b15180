"""The files of a search and its table on the console."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas

from kerastune_llm.commands.console import console, show_table
from kerastune_llm.commands.trials import Study
from kerastune_llm.commands.tune_search import Search, failure
from kerastune_llm.rundir import write_json, write_text
from kerastune_llm.training.reports import markdown_table
from kerastune_llm.training.search_plots import plot_importances, plot_search

if TYPE_CHECKING:
    import optuna

SHOWN = 20

README = """\
# Search on {task}

Of {count} trials, trial {number} is the best, with {metric} {score:.4g}. Again:

```
kerastune train --config {best}
```

{table}

The score is {metric} of the saved model on the validation rows, its best evaluation.
A pruned trial was behind the median of the completed ones and stopped early; its score
is the last it had.
All trials are in `trials.csv`.

![score of each trial, and the best so far](history.png)
{importance}
The runs are in `runs/`, their configurations in `configs/`, what they printed in
`logs/`. The same command again goes on where this one ended, with a larger `--trials`
also where it was finished.
"""
IMPORTANCE = """
![share of each flag in the differences between the scores](importance.png)

The importance is PED-ANOVA's (Watanabe et al., arXiv 2304.10255): how far the best
trials' values of a flag differ from all trials'.
"""


def write_report(
    study: Study, search: Search, *, best: Mapping[str, Any], task: str, metric: str
) -> None:
    """Write best.json, trials.csv, the plots and README.md; print the table.

    Args:
        study: The folder.
        search: Has at least one completed trial.
        best: Nested values of the best trial, a valid `--config`.
        task: Name of the task.
        metric: The metric searched by.
    """
    folder, trials, winner = study.path, search.trials(), search.best()
    is_loss = metric == "loss"
    write_json(folder / "best.json", best)
    table = pandas.DataFrame([_record(trial) for trial in trials])
    write_text(folder / "trials.csv", table.to_csv(index=False))
    plot_search(_scores(trials), metric, folder / "history.png", use_lowest=is_loss)
    importances = search.importances()
    if importances:
        plot_importances(importances, folder / "importance.png")
    columns = ["trial", *winner.params, "state", metric]
    ranked = sorted(
        (trial for trial in trials if trial.value is not None),
        key=lambda trial: (trial.state.name, trial.value if is_loss else -trial.value),
    )
    cells = [_cells(trial, list(winner.params)) for trial in ranked[:SHOWN]]
    text = README.format(
        task=task,
        metric=metric,
        count=len(trials),
        number=winner.number,
        score=winner.value,
        best=folder / "best.json",
        table=markdown_table(columns, cells),
        importance=IMPORTANCE if importances else "",
    )
    write_text(folder / "README.md", text)
    show_table(f"{metric} on {task}, best first", columns, cells)
    console.print(f"wrote {folder}: README.md, best.json, trials.csv, history.png")
    console.print(f"  train it:  kerastune train --config {folder / 'best.json'}")


def _scores(trials: "list[optuna.trial.FrozenTrial]") -> pandas.DataFrame:
    """Score by trial, and whether it ran through; trials without a score left out."""
    scored = [trial for trial in trials if trial.value is not None]
    return pandas.DataFrame(
        {
            "score": [trial.value for trial in scored],
            "is_complete": [trial.state.name == "COMPLETE" for trial in scored],
        },
        index=[trial.number for trial in scored],
    )


def _record(trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "score": trial.value,
        "evaluations": len(trial.intermediate_values),
        "seconds": trial.duration.total_seconds() if trial.duration else None,
        **trial.params,
        "failure": failure(trial),
    }


def _cells(trial: "optuna.trial.FrozenTrial", names: list[str]) -> list[str]:
    values = (trial.params.get(name, "–") for name in names)
    shown = (f"{v:.3g}" if isinstance(v, float) else str(v) for v in values)
    return [
        str(trial.number),
        *shown,
        trial.state.name.lower(),
        f"{trial.value:.4g}",
    ]
