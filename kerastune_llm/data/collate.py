"""Rows of a step to the arrays of its batch."""

from dataclasses import dataclass, field, replace

import datasets
import numpy as np
from transformers import PreTrainedTokenizerBase

from kerastune_llm.data.batching import round_up
from kerastune_llm.data.columns import (
    TokenColumn,
    is_token_column,
    number_column,
    token_column,
)
from kerastune_llm.errors import UserError

# What the loss of transformers leaves out.
IGNORED = -100
# The columns a model computes on.
TEXTS = ("input_ids", "labels")


@dataclass(frozen=True)
class Collate:
    """One row of the plan to the step's arrays, tokens in one dimension.

    `to_tf_dataset` looks at sample batches and takes for static every dimension but
    the first that has one size in them all. With one dimension there is nothing to
    take wrongly; the batch gets its shape back in the pipeline.

    Args:
        lists: Columns of ids.
        pads: What fills up each.
        labels: Labels for a head, `[rows]`, or `[rows, labels]` for multilabel.
        multiple: Widths are multiples of it.
        widths: Fixed widths; a column without one is as wide as its longest row.
        with_rows: Whether a batch says which rows it has, as `rows`.
        with_counted: Whether a batch says which of its rows count, as `counted`: as
            many as its step says, from the first.
    """

    lists: dict[str, TokenColumn]
    pads: dict[str, int]
    labels: np.ndarray | None
    multiple: int
    widths: dict[str, int] = field(default_factory=dict)
    with_rows: bool = False
    with_counted: bool = False

    @classmethod
    def of(
        cls,
        tokenised: datasets.Dataset,
        tokenizer: PreTrainedTokenizerBase,
        multiple: int,
    ) -> "Collate":
        if len(tokenised) == 0:
            raise UserError("There are no rows to make batches of.")
        if tokenizer.pad_token_id is None:
            raise UserError(
                "The tokenizer has no padding token.",
                mend="tokenizer.pad_token = tokenizer.eos_token",
            )
        pads = {
            "input_ids": tokenizer.pad_token_id,
            "token_type_ids": tokenizer.pad_token_type_id,
            "labels": IGNORED,
        }
        present = [name for name in pads if name in tokenised.column_names]
        is_ids = {name: is_token_column(tokenised, name) for name in present}
        lists = {n: token_column(tokenised, n) for n in present if is_ids[n]}
        has_numbers = not is_ids.get("labels", True)
        labels = number_column(tokenised, "labels") if has_numbers else None
        return cls(lists, pads, labels, multiple)

    @property
    def has_text_labels(self) -> bool:
        """Whether the labels are texts."""
        return "labels" in self.lists

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row's input, `[rows]`."""
        return self.lists["input_ids"].lengths

    def at_fixed_width(
        self, max_input_tokens: int | None, max_target_tokens: int | None
    ) -> "Collate":
        widths = {}
        for name, column in self.lists.items():
            limit = max_target_tokens if name == "labels" else max_input_tokens
            longest = int(column.lengths.max())
            if limit is not None and longest > limit:
                raise UserError(
                    f"A row of {name} is longer than the fixed width {limit}.",
                    received=f"{longest} tokens",
                    mend="tokenise with the same lengths",
                )
            widths[name] = round_up(max(limit or longest, 1), self.multiple)
        return replace(self, widths=widths)

    def shapes(self, batch_size: int) -> dict[str, list[int]]:
        """The shapes of a batch of fixed widths, by name."""
        shapes = {name: [batch_size, width] for name, width in self.widths.items()}
        shapes["attention_mask"] = shapes["input_ids"]
        if self.labels is not None:
            shapes["labels"] = [batch_size, *self.labels.shape[1:]]
        if self.with_rows:
            shapes["rows"] = [batch_size]
        if self.with_counted:
            shapes["counted"] = [batch_size]
        return shapes

    def tokens(self, rows: np.ndarray) -> int:
        """Tokens of some rows' inputs and, where these are texts, labels."""
        columns = (self.lists[name] for name in TEXTS if name in self.lists)
        return sum(int(column.lengths[rows].sum()) for column in columns)

    def shape(self, rows: np.ndarray) -> tuple[int, ...]:
        """Rows and width of the inputs, and of the labels where these are texts."""
        return len(rows), *(self._width(n, rows) for n in TEXTS if n in self.lists)

    def __call__(self, steps: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        rows = steps[0]["rows"]
        batch = {"lengths": self.lengths[rows]}
        for name, column in self.lists.items():
            width = self._width(name, rows)
            batch[name] = column.padded(rows, width, self.pads[name]).ravel()
        if self.labels is not None:
            batch["labels"] = self.labels[rows]
        if self.with_rows:
            batch["rows"] = rows
        if self.with_counted:
            counted = np.arange(len(rows)) < steps[0]["counted"]
            batch["counted"] = counted.astype(np.int32)
        return batch

    def _width(self, name: str, rows: np.ndarray) -> int:
        longest = max(int(self.lists[name].lengths[rows].max()), 1)
        return self.widths.get(name) or round_up(longest, self.multiple)
