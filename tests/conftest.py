"""Scripts that run in another process are no tests; what cross-checks have measured."""

import pytest

collect_ignore_glob = [
    "interop/check_*.py",
    "interop/make_*.py",
    "interop/run_*.py",
    "reference/*.py",
    "benchmarks/*.py",
    "methods/*_replicas.py",
    "commands/worker_dies.py",
    "training/recompute_replicas.py",
    "training/score_replicas.py",
    "training/split_batches.py",
]

# What a test records as (row, column, number) to have it shown at the end.
DIFFERENCE = "logit difference"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the logit differences, which reports bring along from workers too."""
    found: dict[str, dict[str, float]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in getattr(report, "user_properties", ()):
                if name == DIFFERENCE:
                    row, column, number = value
                    found.setdefault(row, {})[column] = number
    if found:
        terminalreporter.section("largest logit differences")
        for line in matrix(found):
            terminalreporter.write_line(line)


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
