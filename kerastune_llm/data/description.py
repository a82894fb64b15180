"""What rows are like: their columns, labels, and lengths before anything is cut."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from transformers import PreTrainedTokenizerBase

from kerastune_llm.data.columns import number_column, token_column
from kerastune_llm.data.render import render_inputs, render_pairs, render_targets
from kerastune_llm.tasks.task import Task

BATCH = 1000
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Lengths:
    """Tokens of every row, special ones included, as if nothing were cut.

    Args:
        inputs: `[rows]`.
        targets: `[rows]`, `None` where the answer is not written as text.
    """

    inputs: np.ndarray
    targets: np.ndarray | None


def full_lengths(
    rows: datasets.Dataset,
    tokenised: datasets.Dataset,
    *,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    as_text: bool,
    max_input_tokens: int,
    max_target_tokens: int,
) -> Lengths:
    """The lengths of rows; only those that may have been cut are tokenised again.

    Args:
        rows: Canonical rows.
        tokenised: Their token columns, of `tokenise` with the other arguments.
        task: Gives the templates.
        tokenizer: The same as before.
        as_text: Whether the answer is generated as text.
        max_input_tokens: Length that inputs were cut at.
        max_target_tokens: Length that targets were cut at.
    """

    def inputs_again(batch: Mapping[str, Sequence[Any]]) -> list[list[int]]:
        texts = render_inputs(task, batch, as_text=as_text)
        pairs = render_pairs(task, batch, as_text=as_text)
        return tokenizer(texts, pairs, verbose=False)["input_ids"]

    def targets_again(batch: Mapping[str, Sequence[Any]]) -> list[list[int]]:
        texts = render_targets(task, batch)
        return tokenizer(text_target=texts, verbose=False)["input_ids"]

    def lengths(column: str, limit: int, tokenise_again: Any) -> np.ndarray:
        found = token_column(tokenised, column).lengths.copy()
        places = np.flatnonzero(found >= limit)
        for start in range(0, len(places), BATCH):
            chosen = places[start : start + BATCH]
            found[chosen] = [len(i) for i in tokenise_again(rows[chosen.tolist()])]
        return found

    inputs = lengths("input_ids", max_input_tokens, inputs_again)
    if not as_text:
        return Lengths(inputs, None)
    return Lengths(inputs, lengths("labels", max_target_tokens, targets_again))


def length_row(lengths: np.ndarray) -> list[int]:
    """The percentiles of `PERCENTILES` and the longest, each a length that occurs.

    >>> length_row(np.arange(1, 101))
    [50, 90, 95, 99, 100]
    """
    found = np.percentile(lengths, PERCENTILES, method="inverted_cdf")
    return [*map(int, found), int(lengths.max())]


def describe_columns(rows: datasets.Dataset) -> Iterator[tuple[str, str, int, str]]:
    """Each column's name, type, number of different values, and its first value."""
    for name, feature in rows.features.items():
        values = rows[name][:]
        first = f"{values[0]:g}" if isinstance(values[0], float) else str(values[0])
        yield name, _type_name(feature), len(set(map(str, values))), first


def _type_name(feature: Any) -> str:
    if isinstance(feature, datasets.List | datasets.LargeList):
        return f"list of {_type_name(feature.feature)}"
    return "text" if feature.dtype == "string" else feature.dtype


def label_counts(task: Task, rows: datasets.Dataset) -> Counter[str]:
    """How many rows have each label; those of a label that none has are 0.

    >>> from kerastune_llm.tasks.task import get_task
    >>> rows = datasets.Dataset.from_dict({"label": [1, 1]})
    >>> label_counts(get_task("cola"), rows)
    Counter({'acceptable': 2, 'unacceptable': 0})
    """
    counts = Counter(dict.fromkeys(task.labels, 0))
    for label in rows["label"]:
        indices = label if task.kind == "multilabel" else [label]
        counts.update(task.labels[index] for index in indices)
    return counts


def number_row(rows: datasets.Dataset) -> list[float]:
    """Lowest, mean, median and highest of the column `label`, numbers."""
    values = number_column(rows, "label").astype(float)
    found = (values.min(), values.mean(), np.median(values), values.max())
    return [float(value) for value in found]


def target_row(rows: datasets.Dataset) -> list[int]:
    """Of target texts: different ones, empty ones, rows with several references."""
    targets = list(rows["target"])
    several = sum(len(references) > 1 for references in rows["references"])
    return [len(set(targets)), targets.count(""), several]
