"""Rows in canonical form, from every source, and every row checked."""

import json
from dataclasses import replace

import pytest

from kerastune_llm.data.sources import discover_labels, encode_labels, load_rows
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.tasks.custom import configure_task
from kerastune_llm.tasks.task import get_task


def qa(**options):
    defaults = {"input_template": "{q} in {c}", "target_template": "{a}"}
    return configure_task(get_task("custom"), **(defaults | options))


def by_label(**options):
    defaults = {"input_template": "{text}", "label_column": "label"}
    return configure_task(get_task("custom"), **(defaults | options))


def load(tmp_path, task, rows, name="rows.jsonl", **options):
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return load_rows(task, "train", source="files", path=path, **options)


GOOD = {"q": "Which?", "c": "Egypt", "a": "Nile"}


def test_canonical_rows(tmp_path):
    rows = load(tmp_path, qa(), [GOOD | {"other": 1}, GOOD | {"a": 42, "id": 7}])
    assert rows[0] == {
        "id": "0",
        "q": "Which?",
        "c": "Egypt",
        "target": "Nile",
        "references": ["Nile"],
    }
    assert rows[1]["id"] == "7" and rows[1]["target"] == "42"


def test_columns_are_renamed(tmp_path):
    task = qa(columns={"q": "a", "a": "q", "c": "where is it"})
    rows = load(tmp_path, task, [{"q": "Nile", "a": "Which?", "where is it": "Egypt"}])
    assert rows[0]["q"] == "Which?" and rows[0]["target"] == "Nile"
    assert rows[0]["c"] == "Egypt"


def test_references_column(tmp_path):
    task = qa(references_column="all")
    rows = load(tmp_path, task, [GOOD | {"all": ["Nile", "the Nile"]}, GOOD])
    assert list(rows["references"]) == [["Nile", "the Nile"], ["Nile"]]
    task = configure_task(
        get_task("custom"), input_template="{q}", references_column="all"
    )
    rows = load(tmp_path, task, [GOOD | {"all": ["x", "y"]}, GOOD | {"all": "z"}])
    assert list(rows["target"]) == ["x", "z"]


def test_prediction_needs_no_target(tmp_path):
    rows = load(tmp_path, qa(), [{"q": "Which?", "c": "x"}], require_target=False)
    assert rows.column_names == ["id", "q", "c"]


def test_several_files_are_numbered_through(tmp_path):
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path in paths:
        path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD), encoding="utf-8")
    rows = load_rows(qa(), "train", source="files", path=paths)
    assert list(rows["id"]) == ["0", "1", "2", "3"]


BAD_ROWS = {
    "missing": (
        {"q": "x", "c": "y", "answer": "z"},
        "column 'a': the column is missing",
    ),
    "null": (GOOD | {"c": None}, "column 'c': the value is null"),
    "not text": (GOOD | {"q": ["x"]}, "column 'q': the value is not text"),
    "not a truth": (GOOD | {"a": True}, "column 'a': the value is not text"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows(tmp_path, case):
    row, message = BAD_ROWS[case]
    with pytest.raises(UserErrors, match=message) as caught:
        load(tmp_path, qa(), [GOOD, row, row, GOOD])
    text = str(caught.value)
    assert f"{tmp_path / 'rows.jsonl'}, line 2, " in text
    assert "(2 rows are like this)" in text


def test_missing_column_names_those_there_and_the_mend(tmp_path):
    rows = [{"question": "x", "c": "y", "a": "z"}]
    with pytest.raises(UserErrors) as caught:
        load(tmp_path, qa(input_template="{questions} in {c}"), rows)
    text = str(caught.value)
    assert "there are question, c, a" in text
    assert "--task.columns questions=question" in text


def test_columns_within_objects(tmp_path):
    row = {"q": "Which?", "place": {"c": "Egypt", "at": {"a": "Nile"}}}
    rows = load(tmp_path, qa(columns={"c": "place.c", "a": "place.at.a"}), [row])
    assert (rows[0]["c"], rows[0]["target"]) == ("Egypt", "Nile")
    with pytest.raises(UserErrors) as caught:
        load(tmp_path, qa(), [row])
    assert "there are q, place.c, place.at.a" in str(caught.value)
    assert "--task.columns c=place.c" in str(caught.value)


def test_empty_inputs_are_told(tmp_path, caplog):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\ngood,a\n ,b\n,a\n", encoding="utf-8")
    with caplog.at_level("WARNING", "kerastune_llm"):
        rows = load_rows(by_label(), "train", source="files", path=path)
    assert len(rows) == 3
    assert "2 rows have an empty input and are kept: id 1, 2" in caplog.text


def test_a_name_with_a_space_can_be_seen(tmp_path):
    with pytest.raises(UserErrors) as caught:
        load(tmp_path, by_label(), [{"text": "x", " label": "y"}])
    assert "there are text, ' label'" in str(caught.value)
    assert "--task.label-column ' label'" in str(caught.value)


def test_a_first_row_taken_for_the_columns(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("so it is,one\nis it so,two\n", encoding="utf-8")
    with pytest.raises(UserErrors, match="the first line of csv and tsv names"):
        load_rows(by_label(), "train", source="files", path=path)


@pytest.mark.parametrize("answers", [3, [1, 2], ["x", None], {"txt": ["x"]}, [["x"]]])
def test_answers_that_are_not_text(tmp_path, answers):
    row = {"question": "q", "context": "c", "answers": answers}
    with pytest.raises(UserErrors, match="line 1, column 'answers': .* is not text"):
        load(tmp_path, get_task("squad"), [row])


def test_each_kind_is_reported_once_and_all_together(tmp_path):
    rows = [GOOD | {"c": None}, GOOD | {"q": 1, "a": []}] * 50
    with pytest.raises(UserErrors) as caught:
        load(tmp_path, qa(), rows)
    assert len(caught.value.problems) == 2


def test_labels_by_name_and_index(tmp_path):
    task = get_task("cola")
    labels = ["acceptable", 0, "1", 1.0, "unacceptable"]
    rows = load(tmp_path, task, [{"sentence": "x", "label": v} for v in labels])
    assert list(rows["label"]) == [1, 0, 1, 1, 0]


def test_a_label_of_the_validation_rows_alone_can_be_named(tmp_path):
    task = by_label(labels=("neg", "pos"))
    with pytest.raises(UserErrors, match="--task.labels 'neg,pos,so so'"):
        load(tmp_path, task, [{"text": "x", "label": "so so"}])


@pytest.mark.parametrize("label", [2, -1, "good", 0.5, "1.0", [0], True])
def test_label_outside_the_set(tmp_path, label):
    rows = [{"sentence": "x", "label": 0}, {"sentence": "x", "label": label}]
    message = "line 2, column 'label': the label is outside the label set"
    with pytest.raises(UserErrors, match=message) as caught:
        load(tmp_path, get_task("cola"), rows)
    assert "unacceptable, acceptable, or 0 to 1" in str(caught.value)
    assert repr(label) in str(caught.value)


@pytest.mark.parametrize("label", [None, "", " ", float("nan")])
def test_null_label(tmp_path, label):
    with pytest.raises(UserErrors, match="column 'label': the value is null"):
        load(tmp_path, get_task("cola"), [{"sentence": "x", "label": label}])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["spam", "ham", "spam"], ("ham", "spam")),
        ([10, 9, 9], ("9", "10")),
        ([True, False], ("false", "true")),
        ([1.0, 0.0], ("0", "1")),
        ([-1, 1], ("-1", "1")),
    ],
)
def test_labels_are_discovered(tmp_path, values, names):
    task = by_label()
    rows = load(tmp_path, task, [{"text": "x", "label": value} for value in values])
    assert discover_labels(task, rows) == names
    encoded = encode_labels(rows, names)
    assert [names[i] for i in encoded["label"]] == list(rows["label"])
    assert encoded.features["label"].dtype == "int64"
    # Validation rows are read with the labels known, and must be within.
    known = replace(task, labels=names)
    assert load(tmp_path, known, [{"text": "x", "label": values[0]}])["label"][
        0
    ] == names.index(rows["label"][0])
    with pytest.raises(UserErrors, match="outside the label set"):
        load(tmp_path, known, [{"text": "x", "label": 77}])


def test_a_text_column_is_no_label(tmp_path):
    rows = [{"text": "x", "label": f"review number {n}"} for n in range(1001)]
    task = by_label()
    with pytest.raises(UserError, match="is no label"):
        discover_labels(task, load(tmp_path, task, rows))
    with pytest.raises(UserError, match="1 different: review number 0"):
        discover_labels(task, load(tmp_path, task, rows[:1]))


def test_encode_labels_refuses_others(tmp_path):
    rows = load(tmp_path, by_label(), [{"text": "x", "label": "c"}])
    with pytest.raises(UserError, match="outside the label set"):
        encode_labels(rows, ("a", "b"))


def test_regression(tmp_path):
    task = replace(get_task("cola"), kind="regression", labels=())
    rows = [{"sentence": "x", "label": "2.5"}, {"sentence": "x", "label": 3}]
    assert list(load(tmp_path, task, rows)["label"]) == [2.5, 3.0]
    with pytest.raises(UserErrors, match="the value is not a number"):
        load(tmp_path, task, [{"sentence": "x", "label": "good"}])


def test_max_rows_is_a_seeded_subset_in_order(tmp_path):
    rows = [GOOD | {"id": f"{n:03}"} for n in range(200)]
    first, again, other = (
        list(load(tmp_path, qa(), rows, max_rows=20, seed=seed)["id"])
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert first == sorted(first) and len(set(first)) == 20
    # Not the first 20: a file sorted by label would give one label only.
    assert max(first) > "100"
    assert len(load(tmp_path, qa(), rows, max_rows=1000)) == 200


def test_a_file_without_rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("q,c,a\n", encoding="utf-8")
    with pytest.raises(UserError, match="There are no rows in .*rows.csv"):
        load_rows(qa(), "train", source="files", path=path)


def test_sources_that_are_not_there():
    with pytest.raises(UserError, match="--data.train FILE"):
        load_rows(qa(), "train", source="files")
    with pytest.raises(UserError, match="has no generated sample"):
        load_rows(qa(), "train", source="sample")
    with pytest.raises(UserError, match="no dataset on the hub"):
        load_rows(qa(), "train", source="hub")
    with pytest.raises(UserError, match="Unknown data source"):
        load_rows(qa(), "train", source="web")
