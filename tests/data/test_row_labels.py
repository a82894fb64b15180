"""Raw labels of every kind: what is taken, and what is refused with its place."""

import json
from dataclasses import replace

import pytest

from kerastune_llm.data.sources import discover_labels, encode_labels, load_rows
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import get_task

TAGS = get_task("tags")
KNOWN = replace(TAGS, labels=("c++", "php", "sql"))


def rows_of(tmp_path, task, *labels, column="tags"):
    file = tmp_path / "train.jsonl"
    lines = [json.dumps({"title": "t", column: label}) for label in labels]
    file.write_text("\n".join(lines))
    return load_rows(task, "train", source="files", path=file)


def test_label_sets_in_every_form(tmp_path):
    rows = rows_of(
        tmp_path, KNOWN, ["sql", "php"], "sql, php", "<sql><php>", [2, 1], [], ""
    )
    assert list(rows["label"]) == [[2, 1]] * 4 + [[], []]


def test_label_sets_are_discovered_and_encoded(tmp_path):
    rows = rows_of(tmp_path, TAGS, ["sql", "php", "sql"], ["c++"], [])
    assert list(rows["label"]) == [["sql", "php"], ["c++"], []]
    labels = discover_labels(TAGS, rows)
    assert labels == ("c++", "php", "sql")
    assert list(encode_labels(rows, labels)["label"]) == [[2, 1], [0], []]
    with pytest.raises(UserError, match="outside the label set.*\n?.*php, sql"):
        encode_labels(rows, ("c++",))


def test_the_data_dump_s_csv(tmp_path):
    file = tmp_path / "posts.csv"
    file.write_text('Title,Tags\n"Why, oh why?",<c++><sql>\n')
    [row] = load_rows(KNOWN, "train", source="files", path=file)
    assert row == {"id": "0", "title": "Why, oh why?", "label": [0, 2]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "the value is null"),
        (7, "no list of labels"),
        ([["php"]], "no list of labels"),
        ([None], "no list of labels"),
        (["perl"], "outside the label set"),
        ([3], "outside the label set"),
    ],
)
def test_label_sets_refused(tmp_path, value, message):
    with pytest.raises(UserError, match=f"line 2, column 'tags': .*{message}"):
        rows_of(tmp_path, KNOWN, ["php"], value)


@pytest.mark.parametrize(
    ("value", "message"),
    [(None, "null"), ("", "null"), ("high", "not a number"), ([1], "not a number")],
)
def test_numbers_refused(tmp_path, value, message):
    task = replace(get_task("stsb"), input_template="{title}", text_input_template="")
    task = replace(task, pair_template="")
    with pytest.raises(UserError, match=f"column 'label': .*{message}"):
        rows_of(tmp_path, task, 1.0, value, column="label")


def test_a_folder_for_each_label(tmp_path):
    for name, text in {"pos/0_9": "Fine.", "neg/1_2": "Bad.\n", "unsup/2": "?"}.items():
        file = tmp_path / "aclImdb/train" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    task = get_task("imdb")
    path = tmp_path / "aclImdb/train"
    rows = load_rows(task, "train", source="files", path=path)
    assert list(rows) == [
        {"id": "neg/1_2", "text": "Bad.\n", "label": 0},
        {"id": "pos/0_9", "text": "Fine.", "label": 1},
    ]
    with pytest.raises(UserError, match="To mend it: .*aclImdb/train"):
        load_rows(task, "train", source="files", path=path.parent)
    with pytest.raises(UserError, match="A folder was given"):
        load_rows(get_task("cola"), "train", source="files", path=path)


def test_imdb_s_csv(tmp_path):
    file = tmp_path / "imdb.csv"
    file.write_text(
        'review,sentiment\n"Good, ""very"" good.",positive\nBad.,negative\n'
    )
    rows = load_rows(get_task("imdb"), "train", source="files", path=file)
    assert list(rows["label"]) == [1, 0]
    assert rows[0]["text"] == 'Good, "very" good.'
