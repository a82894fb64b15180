"""Scripts that run in another process are no tests; what cross-checks have measured."""

import os
from collections.abc import Iterator

import pytest

from tests.mirrored_runs import new_address

# Before TensorFlow is there, and for the processes that tests start: XLA's optimisation
# of machine code takes longer than such short runs gain by it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")

collect_ignore_glob = [
    "interop/check_*.py",
    "interop/make_*.py",
    "interop/run_*.py",
    "reference/*.py",
    "benchmarks/*.py",
    "methods/*_replicas.py",
    "methods/mirrored_methods.py",
    "commands/worker_dies.py",
    "training/recompute_replicas.py",
    "models/shared_rows.py",
    "training/score_replicas.py",
    "training/split_batches.py",
]

# What a test records as (row, column, number) to have it shown at the end.
DIFFERENCE = "logit difference"
# The same of steps under XLA, as (row, column, text).
XLA = "xla check"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have measured, which reports bring along from workers too."""
    found: dict[str, dict[str, float]] = {}
    for row, column, number in _recorded(terminalreporter, DIFFERENCE):
        found.setdefault(row, {})[column] = number
    if found:
        terminalreporter.section("largest logit differences")
        for line in matrix(found):
            terminalreporter.write_line(line)
    checks: dict[str, dict[str, str]] = {}
    for row, column, cell in _recorded(terminalreporter, XLA):
        checks.setdefault(row, {})[column] = cell
    if checks:
        terminalreporter.section("under XLA: compiled, operations; difference to graph")
        for line in markdown(checks):
            terminalreporter.write_line(line)


def _recorded(
    terminalreporter: pytest.TerminalReporter, wanted: str
) -> Iterator[tuple]:
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in getattr(report, "user_properties", ()):
                if name == wanted:
                    yield value


def markdown(found: dict[str, dict[str, str]]) -> list[str]:
    """Texts by row and column as a Markdown table.

    >>> for line in markdown({"lora, t5": {"train": "yes, 9"}, "ia3, t5": {}}):
    ...     print(line)
    | | train |
    | --- | --- |
    | ia3, t5 | - |
    | lora, t5 | yes, 9 |
    """
    columns = sorted({column for row in found.values() for column in row})
    rows = [
        [name, *(found[name].get(c, "-") for c in columns)] for name in sorted(found)
    ]
    lines = [["", *columns], ["---"] * (len(columns) + 1), *rows]
    return ["| " + " | ".join(cells).lstrip() + " |" for cells in lines]


def matrix(found: dict[str, dict[str, float]]) -> list[str]:
    """Numbers by row and column as lines of one table.

    >>> found = {"lora": {"t5 to PEFT": 2e-6, "t5 from PEFT": 0.0}, "ia3": {}}
    >>> for line in matrix(found):
    ...     print(line)
          t5 from PEFT    t5 to PEFT
    ia3              -             -
    lora       0.0e+00       2.0e-06
    """
    columns = sorted({column for row in found.values() for column in row})
    first, width = max(map(len, found)), max(map(len, columns)) + 2
    lines = [" " * first + "".join(f"{column:>{width}}" for column in columns)]
    for name in sorted(found):
        numbers = (found[name].get(column) for column in columns)
        cells = ("-" if number is None else f"{number:.1e}" for number in numbers)
        lines.append(f"{name:<{first}}" + "".join(f"{cell:>{width}}" for cell in cells))
    return lines


@pytest.fixture
def address() -> str:
    """An address of a run at which there is nothing yet."""
    return new_address()


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> None:
    """What a machine keeps of runs elsewhere is the test's own."""
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "here"))
