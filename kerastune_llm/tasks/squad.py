"""SQuAD: extractive question answering as text to text."""

from collections.abc import Mapping
from dataclasses import replace

from kerastune_llm.registry import TASKS
from kerastune_llm.tasks import world, world_texts
from kerastune_llm.tasks.task import Row, Task


@TASKS.register
def squad() -> Task:
    """Answer a question from a passage; v1.1, and v2.0 with unanswerable questions.

    The rendering and the lengths are T5's. An unanswerable question has no references
    and the empty text as its target.
    """
    return Task(
        name="squad",
        kind="seq2seq",
        input_template="question: {question} context: {context}",
        references_column="answers",
        group_column="title",
        prepare=answer_texts,
        metrics=("squad",),
        best_metric="f1",
        max_input_tokens=512,
        max_target_tokens=32,
        hub="rajpurkar/squad",
        sample=world.squad_sample,
        reference="Rajpurkar et al. 2016, arXiv:1606.05250",
    )


@TASKS.register
def squad_v2() -> Task:
    """Answer a question from a passage, or give no text where it has no answer."""
    return replace(
        squad(),
        name="squad_v2",
        metrics=("squad_v2",),
        hub="rajpurkar/squad_v2",
        sample=world_texts.unanswerable_rows,
        reference="Rajpurkar et al. 2018, arXiv:1806.03822",
    )


def answer_texts(row: Row) -> Row:
    """The row with `answers` as distinct texts, from either of SQuAD's two forms.

    An `answers` of any other form is left for the check of the row to report.

    >>> answer_texts({"answers": {"text": ["no", "no"], "answer_start": [4, 9]}})
    {'answers': ['no']}
    >>> answer_texts({"answers": [{"text": "no", "answer_start": 4}]})
    {'answers': ['no']}
    """
    answers = row.get("answers")
    if isinstance(answers, Mapping):
        answers = answers.get("text")
    elif isinstance(answers, list):
        answers = [a.get("text") if isinstance(a, Mapping) else a for a in answers]
    if isinstance(answers, list) and all(isinstance(text, str) for text in answers):
        answers = list(dict.fromkeys(answers))
    return row if answers is None else {**row, "answers": answers}
