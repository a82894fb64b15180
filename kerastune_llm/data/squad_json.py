"""SQuAD's own json, v1.1 and v2.0: articles hold paragraphs, which hold questions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import Row


def is_squad(data: list[Any]) -> bool:
    """Whether the list under `data` is one of articles with paragraphs."""
    return bool(data) and isinstance(data[0], dict) and "paragraphs" in data[0]


def read(path: Path, data: list[Any]) -> Iterator[tuple[str, Row]]:
    """Questions in the flat form of the Hugging Face hub, each with its place.

    Columns: `id`, `title`, `context`, `question`, and `answers` with `text` and
    `answer_start`, both empty where the question has no answer (v2.0). A file without
    answers, for prediction, gives rows without that column.
    """
    for a, article in enumerate(data):
        article_place = f"data[{a}]"
        paragraphs = _part(article, "paragraphs", list, path, article_place)
        for p, paragraph in enumerate(paragraphs):
            place = f"{article_place}.paragraphs[{p}]"
            context = _part(paragraph, "context", str, path, place)
            questions = _part(paragraph, "qas", list, path, place)
            for q, question in enumerate(questions):
                at = f"{place}.qas[{q}]"
                row = {
                    "title": article.get("title", ""),
                    "context": context,
                    "question": _part(question, "question", str, path, at),
                }
                if "id" in question:
                    row["id"] = question["id"]
                if "answers" in question:
                    row["answers"] = _answers(question, path, at)
                yield at, row


def _answers(question: dict[str, Any], path: Path, place: str) -> dict[str, list]:
    answers = _part(question, "answers", list, path, place)
    texts = [
        _part(answer, "text", str, path, f"{place}.answers[{n}]")
        for n, answer in enumerate(answers)
    ]
    return {"text": texts, "answer_start": [a.get("answer_start") for a in answers]}


def _part(holder: Any, name: str, kind: type, path: Path, place: str) -> Any:
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, kind):
        raise UserError(
            f"{path}, {place}: {name!r} is missing or not a {kind.__name__}.",
            accepted="SQuAD's json: data[].paragraphs[].qas[].answers[].text",
            received=repr(value)[:80],
        )
    return value
