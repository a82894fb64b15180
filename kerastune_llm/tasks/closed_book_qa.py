"""Closed-book question answering: what the model knows, no text to read it from."""

from collections.abc import Mapping

from kerastune_llm.registry import TASKS
from kerastune_llm.tasks import world_texts
from kerastune_llm.tasks.task import Renames, Row, Task


@TASKS.register
def closed_book_qa() -> Task:
    """Answer a question from memory: NQ-open, WebQuestions, TriviaQA.

    The hub's dataset is NQ-open; the others are
    `--task.hub stanfordnlp/web_questions --task.hub-splits validation=test` and
    `--task.hub mandarjoshi/trivia_qa --task.hub-config rc.nocontext`. Any of the
    accepted answers is right; the first is the target.
    """
    return Task(
        name="closed_book_qa",
        kind="seq2seq",
        input_template="question: {question}",
        references_column="answers",
        prepare=accepted_answers,
        metrics=("exact_match", "token_f1"),
        best_metric="exact_match",
        max_input_tokens=64,
        max_target_tokens=32,
        hub="google-research-datasets/nq_open",
        sample=world_texts.closed_book_rows,
        reference="Roberts et al. 2020, arXiv:2002.08910",
    )


_RENAMES = Renames({"question": "Question", "id": "QuestionId", "answers": "answer"})
_TRIVIA_RENAMES = Renames({"answers": "Answer"})


def accepted_answers(row: Row) -> Row:
    """The row with `answers` as distinct texts, from any of the datasets' forms.

    An answer of any other form is left for the check of the row to report.

    >>> accepted_answers({"answer": ["1969", "July 1969"]})["answers"]
    ['1969', 'July 1969']
    >>> accepted_answers({"Answer": {"Value": "Nile", "Aliases": ["The Nile"]}})[
    ...     "answers"]
    ['Nile', 'The Nile']
    """
    row = _TRIVIA_RENAMES(_RENAMES(row))
    answers = row.get("answers")
    if isinstance(answers, Mapping):
        lowered = {str(name).lower(): value for name, value in answers.items()}
        answers = [lowered.get("value"), *(lowered.get("aliases") or [])]
    if isinstance(answers, list) and all(isinstance(text, str) for text in answers):
        return {**row, "answers": list(dict.fromkeys(answers))}
    return row
