"""Labels as text and back, for every kind."""

from dataclasses import replace

import pytest

from kerastune_llm.data.answers import answer_text, read_answer
from kerastune_llm.tasks.task import get_task

TAGS = replace(get_task("tags"), labels=("c++", "php", "sql"))


@pytest.mark.parametrize(
    ("text", "sets"),
    [
        ("sql, c++", [2, 0]),
        ("sql,php ,", [2, 1]),
        ("php, php", [1]),
        ("perl, php, ada", [-1, 1]),
        ("", []),
        (" , ", []),
    ],
)
def test_label_sets_out_of_text(text, sets):
    assert read_answer(TAGS, text) == sets


def test_label_sets_as_text_keep_their_order():
    assert answer_text(TAGS, [2, 0]) == "sql, c++" and answer_text(TAGS, []) == ""


@pytest.mark.parametrize(
    ("text", "number"),
    [("3.8", 3.8), (" 4 ", 4.0), ("-0.5", -0.5)]
    # T5's string_to_float gives -1 for what is no number.
    + [("", -1.0), ("four", -1.0), ("nan", -1.0), ("inf", -1.0)],
)
def test_numbers_out_of_text(text, number):
    assert read_answer(get_task("stsb"), text) == number


def test_numbers_without_a_step_keep_six_digits():
    task = replace(get_task("stsb"), number_step=0.0)
    assert answer_text(task, 3.799999952316284) == "3.8"


def test_one_label_and_plain_text():
    assert read_answer(get_task("cola"), "unacceptable") == 0
    assert read_answer(get_task("cola"), "Acceptable") == -1
    assert read_answer(get_task("squad"), "acceptable") == "acceptable"
