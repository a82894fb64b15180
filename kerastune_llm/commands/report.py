"""`kerastune report`: finished runs side by side, on one page that needs no other."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kerastune_llm import __version__
from kerastune_llm.commands.console import console
from kerastune_llm.commands.page import render_page
from kerastune_llm.commands.report_plots import colour, plots
from kerastune_llm.commands.report_runs import ReportedRun, read_runs
from kerastune_llm.commands.report_samples import samples
from kerastune_llm.errors import UserError
from kerastune_llm.remote import as_place, here
from kerastune_llm.rundir import write_text

TEMPLATE = "report.html.jinja"
SUFFIXES = (".html", ".htm")
ABSENT = "–"


class Table(NamedTuple):
    """Rows of a name and one cell a run."""

    rows: list[tuple[str, list[str]]]

    @property
    def differing(self) -> list[tuple[str, list[str]]]:
        """The rows in which the runs are not all the same.

        >>> Table([("a", ["1", "1"]), ("b", ["1", "2"])]).differing
        [('b', ['1', '2'])]
        """
        return [row for row in self.rows if len(set(row[1])) > 1]


def report(runs: Sequence[str | Path], output: str | Path) -> Path:
    """Write a page on finished runs: what differs, how they learned, what they answer.

    Args:
        runs: Run directories.
        output: The `.html` file; an earlier one is replaced.

    Returns:
        The file.

    Raises:
        UserError: A folder is no finished run; the file is none, or cannot be written.
    """
    output = here(output)
    _check_place(output)
    reported = read_runs([as_place(run) for run in runs])
    page = render(reported)
    try:
        write_text(output, page)
    except OSError as error:
        raise UserError(
            f"The report cannot be written: {error.strerror}.",
            received=str(output),
            mend="another --output FILE.html",
        ) from error
    names = ", ".join(run.name for run in reported)
    console.print(f"wrote {output}: {names}", markup=False)
    return output


def _check_place(output: Path) -> None:
    if output.suffix.lower() not in SUFFIXES or output.is_dir():
        raise UserError(
            "The report is one HTML file.",
            accepted="a name that ends in .html",
            received=str(output),
            mend="--output report.html",
        )


def render(runs: Sequence[ReportedRun]) -> str:
    """The page."""
    tasks = dict.fromkeys(run.config.task.name for run in runs)
    return render_page(
        TEMPLATE,
        title=f"{', '.join(tasks)}: {', '.join(run.name for run in runs)}",
        version=__version__,
        runs=runs,
        colours=[colour(place) for place in range(len(runs))],
        overview=_overview(runs),
        metrics=_metrics(runs),
        settings=_by_name([run.settings for run in runs]),
        plots=plots(runs),
        samples=samples(runs),
        environment=_by_name([_environment(run) for run in runs]),
    )


def _by_name(values: Sequence[Mapping[str, Any]]) -> Table:
    """What the runs have by each name that any of them has."""
    names = dict.fromkeys(name for of_run in values for name in of_run)
    return Table(
        [(name, [str(of_run.get(name, ABSENT)) for of_run in values]) for name in names]
    )


def _overview(runs: Sequence[ReportedRun]) -> Table:
    return _by_name(
        [
            {
                "task": run.config.task.name,
                "base model": run.config.model,
                "method": run.config.method.name,
                **_counts(run.facts),
                "saved": f"{run.saved_bytes / 1e6:,.3g} MB",
            }
            for run in runs
        ]
    )


def _counts(facts: Mapping[str, float]) -> dict[str, str]:
    """What a run counted and took, as far as it is known."""
    forms = {
        "weights": "{total:,}",
        "of these trained": "{trainable:,} ({percent:.3g} %)",
        "training rows": "{training_rows:,}",
        "optimizer updates": "{steps:,}",
        "time, evaluations included": "{seconds:,.0f} s",
        "peak memory of the process": "{mega_bytes:,.0f} MB",
    }
    known: dict[str, Any] = dict(facts)
    if "peak_memory" in known:
        known["mega_bytes"] = known["peak_memory"] / 1e6
    shown = {}
    for name, form in forms.items():
        # An older run did not write all of them down.
        with contextlib.suppress(KeyError):
            shown[name] = form.format(**known)
    return shown


def _metrics(runs: Sequence[ReportedRun]) -> Table:
    """Each metric of each run, with its interval where rows can be resampled."""
    return _by_name(
        [
            {"rows scored": f"{len(run.records):,}"}
            | {name: _score(run, name) for name in run.shown_metrics}
            for run in runs
        ]
    )


def _score(run: ReportedRun, metric: str) -> str:
    value = f"{run.metrics[metric]:.4g}"
    if metric not in run.intervals:
        return value
    low, high = run.intervals[metric]
    return f"{value} [{low:.4g}, {high:.4g}]"


def _environment(run: ReportedRun) -> dict[str, str]:
    """Versions, devices and the command of a run."""
    known = dict(run.environment)
    known.pop("trained", None)
    versions = known.pop("versions", {})
    lists = {
        name: " ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in known.items()
    }
    return {**lists, **versions}
