"""Contexts longer than the model's input, cut into windows that overlap.

Each window is a row of its own with the whole question. Windows are cut between words,
so that a window's tokens are those that its words have in the whole context.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

import datasets
import numpy as np
from transformers import PreTrainedTokenizerBase

from kerastune_llm.data.render import render_inputs
from kerastune_llm.data.rows import CHUNK, input_fields
from kerastune_llm.tasks.task import Row, Task

logger = logging.getLogger(__name__)

BATCH = 1000
# Column of a row's windows, as lists of ids.
WINDOWS = "windows"


@dataclass(frozen=True)
class Windows:
    """Rows cut into windows.

    Args:
        rows: One row a window, those of a row one after another; whole rows as they
            were.
        owners: The place of the row that each window is of, `[windows]`.
    """

    rows: datasets.Dataset
    owners: np.ndarray

    def holding_answer(self) -> np.ndarray:
        """Places of the windows that a model can learn to answer from.

        Those that the target stands in, all of a row without an answer, and the first
        one where it stands in none.
        """
        if "target" not in self.rows.column_names:
            return self.firsts()
        targets, contexts = self.rows["target"], self.rows["context"]
        holds = np.array(
            [target in text for target, text in zip(targets, contexts, strict=True)]
        )
        answered = set(self.owners[holds].tolist())
        firsts = self.firsts()
        left = [place for place in firsts if self.owners[place] not in answered]
        return np.sort(np.concatenate([np.flatnonzero(holds), left]).astype(int))

    def firsts(self) -> np.ndarray:
        """The place of each row's first window."""
        return np.flatnonzero(np.diff(self.owners, prepend=-1))

    def counts(self) -> np.ndarray:
        """How many windows each row has."""
        return np.bincount(self.owners)


def is_windowed(task: Task) -> bool:
    """Whether rows of the task have a context that can be cut."""
    is_read = {"question", "context"} <= set(input_fields(task))
    return is_read and not (task.has_labels or task.members)


def cut_windows(
    rows: datasets.Dataset,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_input_tokens: int,
    stride: int,
) -> Windows:
    """The rows, those that are too long as several with a part of the context each.

    Args:
        rows: Canonical rows with a `context`.
        task: Gives the template.
        tokenizer: Counts tokens.
        max_input_tokens: What question, context and the template's words have together,
            special tokens included.
        stride: Tokens at most that a window has in common with the one before it.
    """
    parts, owners = [], []
    place = 0
    for batch in rows.iter(batch_size=BATCH):
        names = list(batch)
        lengths = _lengths(render_inputs(task, batch, as_text=True), tokenizer)
        for n, length in enumerate(lengths):
            row = {name: batch[name][n] for name in names}
            cut = [row]
            if length > max_input_tokens:
                cut = _windows_of(row, task, tokenizer, max_input_tokens, stride)
            parts += cut
            owners += [place] * len(cut)
            place += 1
    chunks = [
        datasets.Dataset.from_list(parts[start : start + CHUNK], features=rows.features)
        for start in range(0, len(parts), CHUNK)
    ]
    windows = Windows(datasets.concatenate_datasets(chunks), np.array(owners))
    counts = windows.counts()
    logger.info(
        "long context: %d of %d rows in up to %d windows",
        (counts > 1).sum(),
        len(counts),
        counts.max(),
    )
    return windows


def with_windows(
    rows: datasets.Dataset, windows: datasets.Dataset, owners: np.ndarray
) -> datasets.Dataset:
    """Token columns of rows with the ids of all their windows, as `windows`.

    Args:
        rows: Token columns, one row a row.
        windows: Token columns, one row a window.
        owners: The place of the row that each window is of, `[windows]`.
    """
    lists: list[list] = [[] for _ in range(len(rows))]
    for owner, ids in zip(owners, windows["input_ids"], strict=True):
        lists[owner].append(ids)
    feature = datasets.List(windows.features["input_ids"])
    column = datasets.Dataset.from_dict(
        {WINDOWS: lists}, features=datasets.Features({WINDOWS: feature})
    )
    return datasets.concatenate_datasets([rows, column], axis=1)


def split_words(sizes: Sequence[int], room: int, stride: int) -> list[tuple[int, int]]:
    """Where windows begin and end, in words.

    A window takes as many words as there is room for, one at least; the next begins so
    many words before its end as have `stride` tokens at most.

    Args:
        sizes: Tokens of each word.
        room: Tokens of a window.
        stride: Tokens in common.

    Example:
    >>> split_words([1, 1, 2, 1, 1, 3], room=4, stride=1)
    [(0, 3), (3, 5), (4, 6)]
    """
    found = []
    begin = 0
    while True:
        end, used = begin + 1, sizes[begin]
        while end < len(sizes) and used + sizes[end] <= room:
            used += sizes[end]
            end += 1
        found.append((begin, end))
        if end == len(sizes):
            return found
        begin, shared = end, 0
        # One word further than the window before, whatever the stride.
        while begin > found[-1][0] + 1 and shared + sizes[begin - 1] <= stride:
            begin -= 1
            shared += sizes[begin]


def _windows_of(
    row: Row,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    max_input_tokens: int,
    stride: int,
) -> list[Row]:
    """A row as the windows of its context; itself where there is no room for one."""
    words = list(re.finditer(r"\S+", row["context"]))
    [taken] = _input_lengths([{**row, "context": ""}], task, tokenizer)
    room = max_input_tokens - taken
    sizes = _word_sizes(row["context"], words, tokenizer) if words else []
    while words and room > 0:
        # A long question may leave less room than windows are to have in common.
        parts = split_words(sizes, room, min(stride, room // 2))
        found = [
            {
                **row,
                "id": f"{row['id']}/window-{number}",
                "context": row["context"][words[begin].start() : words[end - 1].end()],
            }
            for number, (begin, end) in enumerate(parts, start=1)
        ]
        # Some tokenizers split a text's first word, or its white space, otherwise. A
        # word that is too long by itself no window can hold.
        lengths = _input_lengths(found, task, tokenizer)
        fitting = [
            length
            for length, (begin, end) in zip(lengths, parts, strict=True)
            if end - begin > 1
        ]
        excess = max(fitting, default=0) - max_input_tokens
        if excess <= 0:
            return found
        room -= excess
    return [row]


def _word_sizes(
    context: str, words: Sequence[re.Match], tokenizer: PreTrainedTokenizerBase
) -> list[int]:
    """Tokens of each word of a context."""
    if not tokenizer.is_fast:
        return [len(tokenizer.tokenize(word.group())) for word in words]
    encoded = tokenizer(
        context, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    # By its last character: a token may begin with the white space before its word.
    lasts = [end - 1 for _, end in encoded["offset_mapping"]]
    starts = [word.start() for word in words]
    owners = np.searchsorted(starts, lasts, side="right") - 1
    return np.bincount(np.maximum(owners, 0), minlength=len(words)).tolist()


def _input_lengths(
    rows: Sequence[Row], task: Task, tokenizer: PreTrainedTokenizerBase
) -> list[int]:
    """Tokens of the input of each row."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return _lengths(render_inputs(task, columns, as_text=True), tokenizer)


def _lengths(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]]
