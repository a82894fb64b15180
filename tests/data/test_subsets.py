"""Few rows that keep the labels' shares, and validation rows of which none is known."""

import logging
from collections import Counter

import datasets
import numpy as np
import pytest

from kerastune_llm.data.sources import load_rows
from kerastune_llm.data.subsets import groups_of, hold_out, stratified, subset
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import get_task


@pytest.mark.parametrize("count", [1, 2, 7, 50, 99, 100])
def test_labels_keep_their_shares_to_within_a_row(count):
    labels = ["a"] * 61 + ["b"] * 30 + ["c"] * 9
    np.random.default_rng(3).shuffle(labels)
    chosen = stratified(labels, count, seed=1)
    assert len(chosen) == len(set(chosen)) == count
    assert chosen.tolist() == sorted(chosen)
    found = Counter(labels[place] for place in chosen)
    for label, size in Counter(labels).items():
        assert abs(found[label] - count * size / 100) < 1


def test_a_subset_is_the_seed_s_own():
    labels = [n % 3 for n in range(90)]
    rows = datasets.Dataset.from_dict({"id": list(range(90)), "label": labels})
    one, again, other = (
        subset(rows, 12, seed=seed, by="label")["id"][:] for seed in (5, 5, 6)
    )
    assert one == again != other
    assert subset(rows, 90, seed=5, by="label") is rows
    assert subset(rows, None, seed=5) is rows
    assert len(subset(rows, 12, seed=5)) == 12


def qa_rows(texts, titles):
    columns = {"id": list(map(str, range(len(texts)))), "context": texts}
    if titles is not None:
        columns["group"] = titles
    return datasets.Dataset.from_dict(columns)


def test_no_context_and_no_article_is_on_both_sides(caplog):
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 60, 400)
    texts = [f"text {n}" for n in numbers]
    # An article has five texts; a third of the rows do not say which.
    titles = [f"article {n % 12}" if rng.random() < 0.7 else "" for n in numbers]
    with caplog.at_level(logging.INFO, "kerastune_llm"):
        train, held = hold_out(qa_rows(texts, titles), 0.2, seed=1)
    assert "rows are held out for validation" in caplog.text
    assert len(train) + len(held) == 400 and 40 < len(held) < 120
    assert not set(train["context"]) & set(held["context"])
    assert not (set(train["group"]) & set(held["group"])) - {""}
    again = hold_out(qa_rows(texts, titles), 0.2, seed=1)[1]
    assert held["id"][:] == again["id"][:]
    assert held["id"][:] != hold_out(qa_rows(texts, titles), 0.2, seed=2)[1]["id"][:]


def test_without_titles_the_context_is_what_parts_them():
    texts = [f"text {n // 4}" for n in range(80)]
    train, held = hold_out(qa_rows(texts, None), 0.1, seed=0)
    assert len(held) == 8 and len(set(held["context"])) == 2
    assert not set(train["context"]) & set(held["context"])


def test_groups_reach_over_rows_that_link_them():
    # Row 2 has the text of row 0 and the article of row 1.
    groups = groups_of(["t", "u", "t", "w"], ["A", "B", "B", ""]).tolist()
    assert groups == [0, 0, 0, 1]


def test_other_tasks_are_parted_by_rows_alone():
    rows = datasets.Dataset.from_dict({"sentence": ["same"] * 50})
    train, held = hold_out(rows, 0.1, seed=0)
    assert (len(train), len(held)) == (45, 5)
    assert hold_out(rows, 0.009, seed=0) == (rows, None)


def test_rows_of_one_text_cannot_be_parted():
    with pytest.raises(UserError, match="(?s)No rows can be held.*--data.validation"):
        hold_out(qa_rows(["t", "t"], ["A", "A"]), 0.5, seed=0)
    # Two groups of which one is nearly everything: both sides have rows.
    train, held = hold_out(qa_rows(["t"] * 9 + ["u"], None), 0.8, seed=0)
    assert len(train) and len(held)


@pytest.mark.parametrize("name", ["squad", "squad_v2"])
def test_squad_rows_say_their_article(name, tmp_path):
    row = '{"title": "%s", "question": "q", "context": "c", "answers": ["c"]}\n'
    file = tmp_path / "rows.jsonl"
    file.write_text(row % "Oslo" + row.replace('"title": "%s", ', ""))
    rows = load_rows(get_task(name), "train", source="files", path=file)
    assert rows["group"][:] == ["Oslo", ""]
