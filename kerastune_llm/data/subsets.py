"""Fewer rows: at most so many, or some held out to validate on."""

import logging
from collections.abc import Hashable, Sequence

import datasets
import numpy as np

from kerastune_llm.data.rows import GROUP
from kerastune_llm.errors import UserError

logger = logging.getLogger(__name__)


def subset(
    rows: datasets.Dataset, max_rows: int | None, *, seed: int, by: str | None = None
) -> datasets.Dataset:
    """At most `max_rows` of the rows, at random, in their order.

    Args:
        rows: All rows.
        max_rows: `None` for all of them.
        seed: Chooses the rows.
        by: Column whose values keep their shares of the rows to within one row.
    """
    if max_rows is None or max_rows >= len(rows):
        return rows
    if by is not None:
        return rows.select(stratified(rows[by], max_rows, seed=seed))
    return rows.select(random_places(len(rows), max_rows, seed=seed))


def random_places(count: int, wanted: int, *, seed: int) -> list[int]:
    """At most `wanted` of the places below `count`, at random, in their order.

    >>> random_places(2, 5, seed=0), len(random_places(9, 5, seed=0))
    ([0, 1], 5)
    """
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[:wanted]).tolist()


def stratified(values: Sequence[Hashable], count: int, *, seed: int) -> np.ndarray:
    """Places of `count` values, each value as often as its share of them all.

    A share that is no whole number is rounded to one of its neighbours, by the largest
    remainders first, so that the numbers add up.

    >>> chosen = stratified(["a"] * 6 + ["b"] * 3, 3, seed=0)
    >>> len(chosen[chosen < 6]), len(chosen[chosen >= 6])
    (2, 1)
    """
    places: dict[Hashable, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(value, []).append(place)
    # In whole numbers: quotient and remainder of count x size / rows.
    exact = [divmod(count * len(rows), len(values)) for rows in places.values()]
    counts = np.array([whole for whole, _ in exact])
    by_remainder = np.argsort([-rest for _, rest in exact], kind="stable")
    counts[by_remainder[: count - counts.sum()]] += 1
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(rows)[:number]
        for rows, number in zip(places.values(), counts, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def hold_out(
    rows: datasets.Dataset, fraction: float, *, seed: int
) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """Rows to train on and rows to validate on, nothing of the one in the other.

    Rows with a `context` are parted by it, and by the `group` (an article's title)
    where they have one: the fraction is then met as nearly as whole groups allow.

    Args:
        rows: Canonical rows.
        fraction: Share of them to hold out; below half a row, none are.
        seed: Chooses them.

    Raises:
        UserError: All rows are of one group.
    """
    count = int(round(fraction * len(rows)))
    if count == 0:
        logger.warning("no validation rows: no metric, and the last weights are kept")
        return rows, None
    order = np.random.default_rng(seed)
    if "context" not in rows.column_names:
        logger.info("%d of %d rows are held out for validation", count, len(rows))
        places = order.permutation(len(rows))
        return rows.select(np.sort(places[count:])), rows.select(
            np.sort(places[:count])
        )
    titles = rows[GROUP] if GROUP in rows.column_names else [""] * len(rows)
    groups = groups_of(list(rows["context"]), list(titles))
    held = _held_groups(groups, count, order)
    is_held = np.isin(groups, held)
    logger.info(
        "%d of %d rows are held out for validation, %d of %d groups with a text or an "
        "article in common",
        is_held.sum(),
        len(rows),
        len(held),
        len(set(groups)),
    )
    return (
        rows.select(np.flatnonzero(~is_held)),
        rows.select(np.flatnonzero(is_held)),
    )


def groups_of(contexts: Sequence[str], titles: Sequence[str]) -> np.ndarray:
    """A number for each row, the same where rows have a context or a title in common.

    So have rows that other rows link. An empty title is none.

    >>> groups_of(["a", "b", "b", "c"], ["x", "x", "", ""]).tolist()
    [0, 0, 0, 1]
    """
    parents: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        parents.setdefault(node, node)
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for context, title in zip(contexts, titles, strict=True):
        if title:
            parents[root(("context", context))] = root(("title", title))
    numbers: dict[tuple[str, str], int] = {}
    return np.array(
        [numbers.setdefault(root(("context", c)), len(numbers)) for c in contexts]
    )


def _held_groups(groups: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """Groups at random whose rows come as near to `count` as adding them one by one."""
    sizes = np.bincount(groups)
    if len(sizes) < 2:
        raise UserError(
            "No rows can be held out for validation: all have a text or an article in "
            "common, and what is validated on must not be trained on.",
            mend="--data.validation FILE, or --data.validation-fraction 0",
        )
    held: list[int] = []
    rows = 0
    for group in rng.permutation(len(sizes)):
        is_nearer = abs(rows + sizes[group] - count) < abs(rows - count)
        if is_nearer and len(held) < len(sizes) - 1:
            held.append(int(group))
            rows += sizes[group]
    return held or [int(np.argmin(sizes))]
