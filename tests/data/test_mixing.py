"""Rows of several tasks as text, in their shares."""

from collections import Counter

import pytest

from kerastune_llm.data.mixing import as_mixture_rows, mix_rows
from kerastune_llm.data.sources import load_rows
from kerastune_llm.tasks.task import get_task


def rows_of(name, count):
    task = get_task(name)
    return as_mixture_rows(task, load_rows(task, "train", max_rows=count))


def test_rows_are_text():
    [row] = rows_of("cola", 1)
    assert row["task"] == "cola" and row["id"].startswith("cola/train-")
    assert row["input"].startswith("cola sentence: ")
    assert row["references"] == [row["target"]]
    assert row["target"] in ("acceptable", "unacceptable")


def test_a_number_is_rounded_in_the_target_only():
    task = get_task("stsb")
    rows = load_rows(task, "train", max_rows=20)
    rounded = as_mixture_rows(task, rows.map(lambda row: {"label": 3.33}))
    assert set(rounded["target"]) == {"3.4"}
    assert list(rounded["references"]) == [["3.33"]] * 20


@pytest.mark.parametrize(
    ("shares", "cap", "expected"),
    [
        ((0.25, 0.75), 1000, (10, 30)),
        ((0.5, 0.5), 1000, (20, 20)),  # the small task twice
        ((1.0, 0.0), 1000, (40, 0)),
        ((0.5, 0.5), 10, (10, 10)),  # the large one is cut
    ],
)
def test_an_epoch_has_the_shares(shares, cap, expected):
    members = {"cola": rows_of("cola", 10), "squad": rows_of("squad", 30)}
    names = dict(zip(members, shares, strict=True))
    mixed = mix_rows(members, names, cap=cap, seed=0)
    counts = Counter(mixed["task"])
    assert tuple(counts[name] for name in members) == expected
    # No row comes a second time before every row has come once.
    for name, rows in members.items():
        times = Counter(
            mixed["id"][place] for place, own in enumerate(mixed["task"]) if own == name
        )
        assert (
            not times
            or max(times.values()) - min(times[row_id] for row_id in rows["id"]) <= 1
        )
    again = mix_rows(members, names, cap=cap, seed=0)
    assert list(again["id"]) == list(mixed["id"])
