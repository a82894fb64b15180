"""The squad task: T5's rendering, both forms of answers."""

import pytest

from kerastune_llm.data.render import render_inputs
from kerastune_llm.data.rows import Table, to_dataset
from kerastune_llm.tasks.squad import answer_texts
from kerastune_llm.tasks.task import get_task

ROW = {"id": "x1", "question": "Which river?", "context": "It was the Nile."}


def canonical(**answers):
    table = Table("t", [("row 1", ROW | answers)])
    return to_dataset(get_task("squad"), [table], require_target=True)[0]


@pytest.mark.parametrize(
    "answers",
    [
        {"text": ["Nile", "the Nile", "Nile"], "answer_start": [11, 7, 11]},
        [{"text": "Nile"}, {"text": "the Nile"}, {"text": "Nile"}],
        ["Nile", "the Nile", "Nile"],
    ],
)
def test_answers_in_all_forms(answers):
    row = canonical(answers=answers)
    assert row["target"] == "Nile"
    assert row["references"] == ["Nile", "the Nile"]
    assert row["id"] == "x1"


def test_no_answer_is_the_empty_target():
    row = canonical(answers={"text": [], "answer_start": []})
    assert row["target"] == "" and row["references"] == []


def test_rendering_is_that_of_t5():
    task = get_task("squad")
    text = render_inputs(task, {name: [ROW[name]] for name in ROW}, as_text=True)
    assert text == ["question: Which river? context: It was the Nile."]


def test_other_answers_are_left_to_the_check():
    assert answer_texts({"answers": 3}) == {"answers": 3}
    assert answer_texts({"question": "q"}) == {"question": "q"}
