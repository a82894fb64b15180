"""Validation rows that several runs answered, side by side."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerastune_llm.commands.report_runs import ReportedRun

SAMPLES = 12
# Of these, as many as there are on which the runs are not equally good.
DIFFERING = 8

Key = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Answer:
    """One run's answer to a row.

    Args:
        place: The run's place among all.
        text: What it answered.
        score: How good that is; the higher the better.
    """

    place: int
    text: str
    score: float


@dataclass(frozen=True)
class Sample:
    """A row: what the models were given, what is right, and the answers."""

    input: str
    references: tuple[str, ...]
    answers: tuple[Answer, ...]


def samples(runs: Sequence[ReportedRun]) -> dict[str, list[Sample]]:
    """Some rows of each task, in their order, that all of its runs answered.

    First come those that the runs answered unequally well, then any; always the same
    ones for the same runs. A row is known by its id and its references: its text
    may differ, as a T5 is given another than an encoder.
    """
    tasks: dict[str, dict[int, ReportedRun]] = {}
    for place, run in enumerate(runs):
        if run.records:
            tasks.setdefault(run.config.task.name, {})[place] = run
    return {task: _of_task(members) for task, members in tasks.items()}


def _of_task(runs: Mapping[int, ReportedRun]) -> list[Sample]:
    tables = {
        place: {_key(record): record for record in run.records}
        for place, run in runs.items()
    }
    first = next(iter(tables.values()))
    shared = [key for key in first if all(key in table for table in tables.values())]
    return [_sample(key, tables) for key in _chosen(shared, tables)]


def _chosen(
    shared: list[Key], tables: Mapping[int, Mapping[Key, Mapping[str, Any]]]
) -> list[Key]:
    def differs(key: Key) -> bool:
        return len({table[key]["score"] for table in tables.values()}) > 1

    draw = random.Random(0)
    unequal = [key for key in shared if differs(key)]
    chosen = draw.sample(unequal, min(DIFFERING, len(unequal)))
    others = [key for key in shared if key not in set(chosen)]
    chosen += draw.sample(others, min(SAMPLES - len(chosen), len(others)))
    return sorted(chosen, key=shared.index)


def _sample(key: Key, tables: Mapping[int, Mapping[Key, Mapping[str, Any]]]) -> Sample:
    answers = tuple(
        Answer(place, table[key]["prediction"], table[key]["score"])
        for place, table in tables.items()
    )
    first = next(iter(tables.values()))
    return Sample(first[key]["input"], key[1], answers)


def _key(record: Mapping[str, Any]) -> Key:
    return str(record["id"]), tuple(record["references"])
