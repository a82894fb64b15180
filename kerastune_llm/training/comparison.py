"""What several runs say about the methods they were made with.

Performance and convergence are looked at apart, as in the study of delta tuning by
Ding et al. (Nature Machine Intelligence 2023, doi 10.1038/s42256-023-00626-4), which
finds "FT > adapter ≈ LoRA > prefix > prompt" for both in this notation.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Points = Sequence[tuple[int, float]]
NEAR_BEST = 0.95


@dataclass(frozen=True)
class Record:
    """A finished run.

    Args:
        group: What it is one of: a method, or a model and a method.
        score: The metric of its saved model.
        evaluations: The metric over optimizer updates.
        losses: Training loss over optimizer updates.
        facts: Further numbers by name, such as `seconds`; averaged over the group.
    """

    group: str
    score: float
    evaluations: Points
    losses: Points
    facts: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """A group of runs that differ by their seeds alone.

    Args:
        group: As in the records.
        runs: How many.
        mean: Of the scores.
        spread: Standard deviation of the scores, n - 1 in the denominator; `None` of
            a single run.
        steps_to_near_best: Mean number of updates until 95 % of the run's own best.
        level: Mean of the metric over the whole run, the better the sooner a method
            gets where it gets.
        level_spread: Standard deviation of that.
        facts: Means of the records' facts.
    """

    group: str
    runs: int
    mean: float
    spread: float | None
    steps_to_near_best: float
    level: float
    level_spread: float | None
    facts: Mapping[str, float]

    def to_values(self) -> dict[str, Any]:
        """Plain values by name."""
        return {
            "method": self.group,
            "runs": self.runs,
            "mean": self.mean,
            "spread": self.spread,
            "steps_to_95_percent": self.steps_to_near_best,
            "level": self.level,
            **self.facts,
        }


def summarise(records: Iterable[Record], *, lower_is_better: bool = False) -> list[Row]:
    """One row a group, in the order in which the groups first come."""
    return [_row(runs, lower_is_better) for runs in by_group(records).values()]


def by_group(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records of each group, in the order in which they come."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.group, []).append(record)
    return groups


def _row(runs: Sequence[Record], lower_is_better: bool) -> Row:
    scores = [run.score for run in runs]
    curves = [run.evaluations for run in runs]
    levels = [level(curve) for curve in curves]
    # A fact is averaged over the runs that know it.
    names = dict.fromkeys(name for run in runs for name in run.facts)
    return Row(
        group=runs[0].group,
        runs=len(runs),
        mean=statistics.fmean(scores),
        spread=_spread(scores),
        steps_to_near_best=statistics.fmean(
            steps_to_near_best(curve, lower_is_better=lower_is_better)
            for curve in curves
        ),
        level=statistics.fmean(levels),
        level_spread=_spread(levels),
        facts={
            name: statistics.fmean(r.facts[name] for r in runs if name in r.facts)
            for name in names
        },
    )


def _spread(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def steps_to_near_best(points: Points, *, lower_is_better: bool = False) -> int:
    """Updates until the metric is within 5 % of the best value of the run.

    Within 5 % means `|value - best| <= 0.05 * |best|`, which is 95 % of a positive
    best and has a meaning for a Matthews coefficient below zero too.

    Args:
        points: `(updates, value)`, at least one.
        lower_is_better: For a loss.

    Example:
    >>> steps_to_near_best([(10, 0.2), (20, 0.77), (30, 0.8), (40, 0.7)])
    20
    """
    best = (min if lower_is_better else max)(value for _, value in points)
    margin = (1 - NEAR_BEST) * abs(best)
    return next(step for step, value in points if abs(value - best) <= margin)


def level(points: Points) -> float:
    """Mean of the metric over the updates: the area under its curve by its width.

    The curve is straight between evaluations and flat before the first.

    >>> level([(10, 0.0), (20, 1.0)])
    0.25
    """
    (first, value), area = points[0], points[0][0] * points[0][1]
    last = first
    for step, next_value in points[1:]:
        area += (step - last) * (value + next_value) / 2
        last, value = step, next_value
    return area / last


def rank_by_performance(rows: Sequence[Row], *, lower_is_better: bool = False) -> str:
    """The groups from best to worst score: `full > lora ≈ adapter > prompt`.

    `≈` joins neighbours that differ by no more than the larger of their spreads; of
    single runs, which have none, those that are equal.
    """
    places = [(row.mean, row.spread, row.group) for row in rows]
    return _ranking(places, lower_is_better)


def rank_by_convergence(rows: Sequence[Row], *, lower_is_better: bool = False) -> str:
    """The groups from the best level to the worst, as `rank_by_performance` does."""
    places = [(row.level, row.level_spread, row.group) for row in rows]
    return _ranking(places, lower_is_better)


def _ranking(
    places: list[tuple[float, float | None, str]], lower_is_better: bool
) -> str:
    ordered = sorted(places, key=lambda place: place[0], reverse=not lower_is_better)
    text = ordered[0][2] if ordered else ""
    for (value, spread, _), (next_value, next_spread, group) in pairwise(ordered):
        is_near = abs(value - next_value) <= max(spread or 0.0, next_spread or 0.0)
        text += f" {'≈' if is_near else '>'} {group}"
    return text
