"""What runs say about methods: numbers worked out by hand."""

import math

import pytest

from kerastune_llm.training.comparison import (
    Record,
    level,
    rank_by_convergence,
    rank_by_performance,
    steps_to_near_best,
    summarise,
)


def record(group, score, evaluations=((10, 0.5),), **facts):
    return Record(group, score, list(evaluations), [(1, 2.0)], facts)


def test_mean_and_spread_over_seeds():
    (row,) = summarise([record("lora", 0.2), record("lora", 0.4), record("lora", 0.9)])
    assert (row.runs, row.mean) == (3, pytest.approx(0.5))
    # Squares of -0.3, -0.1 and 0.4 by n - 1.
    assert row.spread == pytest.approx(math.sqrt(0.26 / 2))


def test_a_single_run_has_no_spread():
    (row,) = summarise([record("full", 0.2)])
    assert row.spread is None and row.level_spread is None


def test_groups_keep_their_order_and_facts_are_means_of_those_that_know_them():
    rows = summarise(
        [
            record("lora", 0.1, seconds=10.0),
            record("full", 0.2, seconds=5.0),
            record("lora", 0.3, seconds=20.0),
            record("lora", 0.3),
        ]
    )
    assert [row.group for row in rows] == ["lora", "full"]
    assert rows[0].facts == {"seconds": 15.0}


@pytest.mark.parametrize(
    ("points", "lower", "expected"),
    [
        ([(10, 0.2), (20, 0.94), (30, 0.951), (40, 1.0)], False, 30),
        ([(10, 0.8), (20, 0.1)], False, 10),
        ([(10, 0.0), (20, 0.0)], False, 10),
        ([(10, -0.4), (20, -0.2)], False, 20),
        ([(10, 4.0), (20, 2.05), (30, 2.0)], True, 20),
    ],
)
def test_steps_to_95_percent_of_the_best(points, lower, expected):
    assert steps_to_near_best(points, lower_is_better=lower) == expected


def test_level_is_the_area_under_the_curve_by_its_width():
    # Flat at 0.2 to 10, then up to 0.6 at 30: 2 + 8 over 30 updates.
    assert level([(10, 0.2), (30, 0.6)]) == pytest.approx(10 / 30)
    assert level([(7, 0.3)]) == pytest.approx(0.3)


def test_what_starts_sooner_converges_better_though_both_end_alike():
    soon = record("soon", 0.8, [(10, 0.8), (20, 0.8)])
    late = record("late", 0.8, [(10, 0.0), (20, 0.8)])
    rows = summarise([late, soon])
    assert rank_by_convergence(rows) == "soon > late"
    assert rank_by_performance(rows) == "late ≈ soon"


def test_ranking_joins_what_is_within_the_larger_spread():
    rows = summarise(
        [
            *(record("prompt", score) for score in (0.1, 0.1)),
            *(record("lora", score) for score in (0.6, 0.8)),
            *(record("full", score) for score in (0.79, 0.79)),
        ]
    )
    assert rank_by_performance(rows) == "full ≈ lora > prompt"


def test_of_losses_the_lowest_is_the_best():
    rows = summarise([record("a", 2.0), record("b", 1.0)], lower_is_better=True)
    assert rank_by_performance(rows, lower_is_better=True) == "b > a"
