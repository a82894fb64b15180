"""Summaries: dialogues and news, with T5's prefix."""

from typing import Any

from kerastune_llm.registry import TASKS
from kerastune_llm.tasks import world_texts
from kerastune_llm.tasks.task import Row, Task


def _summary(name: str, column: str, **fields: Any) -> Task:
    """Write the summary of a text, scored by ROUGE."""
    return Task(
        name=name,
        kind="seq2seq",
        input_template=f"summarize: {{{column}}}",
        metrics=("rouge",),
        best_metric="rougeL",
        max_input_tokens=512,
        **fields,
    )


@TASKS.register
def dialogsum() -> Task:
    """Summarise an everyday dialogue; rows of the test split have three summaries."""
    return _summary(
        "dialogsum",
        "dialogue",
        references_column="summary",
        id_column="fname",
        prepare=all_summaries,
        max_target_tokens=128,
        hub="knkarthick/dialogsum",
        sample=world_texts.dialogue_rows,
        reference="Chen et al. 2021, arXiv:2105.06762",
    )


@TASKS.register
def samsum() -> Task:
    """Summarise a conversation of a messenger; one or several summaries a row."""
    return _summary(
        "samsum",
        "dialogue",
        references_column="summary",
        prepare=all_summaries,
        max_target_tokens=128,
        hub="knkarthick/samsum",
        sample=world_texts.dialogue_rows,
        reference="Gliwa et al. 2019, arXiv:1911.12237",
    )


@TASKS.register
def xsum() -> Task:
    """Say in one sentence what a news article is about."""
    return _summary(
        "xsum",
        "document",
        references_column="summary",
        max_target_tokens=64,
        hub="EdinburghNLP/xsum",
        sample=world_texts.news_rows,
        reference="Narayan et al. 2018, arXiv:1808.08745",
    )


@TASKS.register
def cnn_dailymail() -> Task:
    """Write the highlights of a news article, one to a line."""
    return _summary(
        "cnn_dailymail",
        "article",
        references_column="highlights",
        max_target_tokens=128,
        hub="abisee/cnn_dailymail",
        hub_config="3.0.0",
        sample=world_texts.article_rows,
        reference="See et al. 2017, arXiv:1704.04368",
    )


def all_summaries(row: Row) -> Row:
    """The row with `summary1`, `summary2`, ... as the list `summary`.

    >>> all_summaries({"summary1": "He left.", "summary2": "He went."})["summary"]
    ['He left.', 'He went.']
    """
    numbered = [row[f"summary{n}"] for n in range(1, 10) if f"summary{n}" in row]
    return {**row, "summary": numbered} if numbered else row
