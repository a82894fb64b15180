"""GLUE: T5's renderings, label orders, and every file's own columns and quotes."""

import json
import logging

import pytest

from kerastune_llm.data.render import render_inputs, render_pairs, render_targets
from kerastune_llm.data.sources import load_rows
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import get_task

# Inputs and targets as in the appendix D of the T5 paper: prefix, fields by name.
RENDERED = {
    "cola": ({"sentence": "A."}, 0, "cola sentence: A.", "unacceptable"),
    "sst2": ({"sentence": "A."}, 1, "sst2 sentence: A.", "positive"),
    "mrpc": (
        {"sentence1": "A.", "sentence2": "B."},
        1,
        "mrpc sentence1: A. sentence2: B.",
        "equivalent",
    ),
    "qqp": (
        {"question1": "A?", "question2": "B?"},
        0,
        "qqp question1: A? question2: B?",
        "not_duplicate",
    ),
    "stsb": (
        {"sentence1": "A.", "sentence2": "B."},
        3.25,
        "stsb sentence1: A. sentence2: B.",
        "3.2",
    ),
    "mnli": (
        {"premise": "A.", "hypothesis": "B."},
        2,
        "mnli hypothesis: B. premise: A.",
        "contradiction",
    ),
    "qnli": (
        {"question": "A?", "sentence": "B."},
        0,
        "qnli question: A? sentence: B.",
        "entailment",
    ),
    "rte": (
        {"sentence1": "A.", "sentence2": "B."},
        1,
        "rte sentence1: A. sentence2: B.",
        "not_entailment",
    ),
    "wnli": (
        {"sentence1": "A.", "sentence2": "B."},
        1,
        "wnli sentence1: A. sentence2: B.",
        "entailment",
    ),
}


@pytest.mark.parametrize("name", RENDERED)
def test_both_forms(name):
    fields, label, text, target = RENDERED[name]
    task = get_task(name)
    rows = {column: [value] for column, value in fields.items()} | {"label": [label]}
    assert render_inputs(task, rows, as_text=True) == [text]
    assert render_targets(task, rows) == [target]
    # A head is given the texts themselves, a pair as two.
    first, *second = fields.values()
    assert render_inputs(task, rows, as_text=False) == [first]
    assert render_pairs(task, rows, as_text=False) == (second or None)
    assert render_pairs(task, rows, as_text=True) is None


@pytest.mark.parametrize(
    ("score", "text"),
    # T5's as_string(round(x * 5) / 5, precision=1), which rounds halves to even.
    [(0.0, "0.0"), (5.0, "5.0"), (2.6, "2.6"), (2.57, "2.6"), (0.1, "0.0")]
    + [(3.3, "3.2"), (4.75, "4.8"), (0.3, "0.4")],
)
def test_stsb_is_rounded_as_in_t5(score, text):
    task = get_task("stsb")
    assert render_targets(task, {"label": [score]}) == [text]


def rows_of(tmp_path, name, text):
    file = tmp_path / "train.tsv"
    file.write_text(text, encoding="utf-8")
    return list(load_rows(get_task(name), "train", source="files", path=file))


FILES = {
    "sst2": (
        'sentence\tlabel\n" a quote \t1\n',
        {"sentence": '" a quote ', "label": 1},
    ),
    "mrpc": (
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
        '0\t7\t8\t" Two quotes , " he said .\t" One quote .\n',
        {
            "sentence1": '" Two quotes , " he said .',
            "sentence2": '" One quote .',
            "label": 0,
        },
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n3\t1\t2\tA?\tB?\t1\n",
        {"question1": "A?", "question2": "B?", "label": 1, "id": "3"},
    ),
    "stsb": (
        "index\tgenre\tsentence1\tsentence2\tscore\n0\tx\tA.\tB.\t3.800\n",
        {"sentence1": "A.", "sentence2": "B.", "label": pytest.approx(3.8)},
    ),
    "mnli": (
        "index\tpairID\tsentence1\tsentence2\tlabel1\tgold_label\n"
        "0\t5n\tA.\tB.\tneutral\tcontradiction\n",
        {"premise": "A.", "hypothesis": "B.", "label": 2, "id": "5n"},
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel\n0\tA?\tB.\tnot_entailment\n",
        {"question": "A?", "sentence": "B.", "label": 1},
    ),
    "rte": (
        "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailment\n",
        {"sentence1": "A.", "sentence2": "B.", "label": 0},
    ),
    "wnli": (
        "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t1\n",
        {"sentence1": "A.", "sentence2": "B.", "label": 1},
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_glue_s_own_tsv(tmp_path, name):
    text, expected = FILES[name]
    [row] = rows_of(tmp_path, name, text)
    assert row == {"id": "0"} | expected


def test_rows_of_the_hub(tmp_path):
    file = tmp_path / "train.jsonl"
    row = {"premise": "A.", "hypothesis": "B.", "label": 1, "idx": 0}
    file.write_text(json.dumps(row))
    [found] = load_rows(get_task("mnli"), "train", source="files", path=file)
    assert found == {"id": "0", "premise": "A.", "hypothesis": "B.", "label": 1}


def test_qqp_s_short_rows_are_left_out_and_counted(tmp_path, caplog):
    text = FILES["qqp"][0] + "4\t1\t2\tA broken\n"
    with caplog.at_level(logging.WARNING, logger="kerastune_llm"):
        assert len(rows_of(tmp_path, "qqp", text)) == 1
    assert "1 rows with missing fields left out" in caplog.text


def test_a_short_row_of_another_task_is_an_error(tmp_path):
    with pytest.raises(UserError, match="line 3: wrong number of fields"):
        rows_of(tmp_path, "rte", FILES["rte"][0] + "1\tA.\n")


def test_a_score_that_is_no_number_is_refused(tmp_path):
    text = FILES["stsb"][0] + "1\tx\tA.\tB.\tnan\n"
    with pytest.raises(UserError, match=r"line 3, column 'label': .*not a number"):
        rows_of(tmp_path, "stsb", text)


def test_mismatched_differs_in_the_validation_split_only():
    matched, mismatched = get_task("mnli"), get_task("mnli_mismatched")
    assert matched.hub_splits["validation"] == "validation_matched"
    assert mismatched.hub_splits["validation"] == "validation_mismatched"
    assert matched.input_template == mismatched.input_template
