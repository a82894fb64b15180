"""Several examples in one row, each with a segment number: hardly any padding.

Raffel et al. 2020 (https://arxiv.org/abs/1910.10683) train T5 on packed rows. What an
example is computed from is what bears its number, see `models/packed.py`.
"""

from dataclasses import dataclass

import numpy as np

from kerastune_llm.data.batching import round_up
from kerastune_llm.data.collate import TEXTS, Collate
from kerastune_llm.data.columns import TokenColumn
from kerastune_llm.errors import UserError

# Widths of packed inputs that are tried, from the longest example's to the limit.
_WIDTHS = 4


def first_fit(sizes: np.ndarray, limits: np.ndarray) -> list[np.ndarray]:
    """Examples put into rows: the longest first, each into the first row with room.

    Inputs and targets must both fit.

    Args:
        sizes: Tokens of each example's input and target, `[examples, 2]`.
        limits: Tokens that a row has room for, `[2]`; no example has more.

    Returns:
        The examples of each row.

    Example:
    >>> first_fit(np.array([[3, 1], [6, 1], [5, 1], [4, 1]]), np.array([9, 2]))
    [array([1, 0]), array([2, 3])]
    """
    room = np.tile(limits, (len(sizes), 1))
    rows: list[list[int]] = [[] for _ in sizes]
    for example in np.argsort(-sizes[:, 0], kind="stable"):
        place = int((room >= sizes[example]).all(axis=1).argmax())
        room[place] -= sizes[example]
        rows[place].append(example)
    return [np.array(row) for row in rows if row]


def pack(sizes: np.ndarray, limits: np.ndarray) -> list[np.ndarray]:
    """The packing with the fewest cells `[rows, width]` of inputs and targets.

    A few widths of the input up to the limit are tried; of equal ones the narrowest is
    taken, in which attention costs the least. Sizes, limits and rows are as in
    `first_fit`.

    >>> pack(np.array([[8, 1], [5, 1], [4, 1]]), np.array([12, 4]))
    [array([0]), array([1, 2])]
    >>> pack(np.array([[5, 1], [4, 1], [5, 1], [4, 1]]), np.array([18, 4]))
    [array([0, 1]), array([2, 3])]
    """
    longest = sizes[:, 0].max()
    widths = np.unique(np.linspace(longest, limits[0], _WIDTHS).astype(int))
    packings = [first_fit(sizes, np.array([width, limits[1]])) for width in widths]
    return min(packings, key=lambda rows: _cells(sizes, rows))


def _cells(sizes: np.ndarray, rows: list[np.ndarray]) -> int:
    widths = np.max([sizes[examples].sum(axis=0) for examples in rows], axis=0)
    return len(rows) * int(widths.sum())


@dataclass(frozen=True)
class PackedCollate:
    """One row of the plan to the step's arrays, its examples packed into few rows.

    Besides `input_ids` and `labels` there are `input_segments` and `target_segments`
    of the same shapes: 1 for the tokens of a row's first example, 2 for the next one's,
    0 for padding.

    Args:
        collate: With fixed widths; no packed row is longer.
    """

    collate: Collate

    @classmethod
    def of(
        cls,
        collate: Collate,
        max_input_tokens: int | None,
        max_target_tokens: int | None,
    ) -> "PackedCollate":
        """The collation of rows of text with texts as labels.

        Raises:
            UserError: The labels are none, or a row is longer than a packed one.
        """
        if not collate.has_text_labels:
            raise UserError(
                "Only rows whose labels are texts can be packed.",
                mend='batching="bucket"',
            )
        if collate.with_rows:
            raise UserError("A packed batch cannot say which rows it has.")
        return cls(collate.at_fixed_width(max_input_tokens, max_target_tokens))

    @property
    def has_text_labels(self) -> bool:
        """Whether the labels are texts; others cannot be packed."""
        return True

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example's input, `[examples]`."""
        return self.collate.lengths

    def tokens(self, examples: np.ndarray) -> int:
        """Tokens of some examples' inputs and labels."""
        return self.collate.tokens(examples)

    def shape(self, examples: np.ndarray) -> tuple[int, ...]:
        """Rows the examples are packed into, width of the inputs, of the labels."""
        rows, _, widths = self._packed(examples)
        return len(rows), *widths

    def __call__(self, steps: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        examples = steps[0]["rows"]
        rows, totals, widths = self._packed(examples)
        batch = {"lengths": totals[:, 0]}
        segments = ("input_segments", "target_segments")
        for name, width, marks in zip(TEXTS, widths, segments, strict=True):
            column = self.collate.lists[name]
            values = np.full([len(rows), width], self.collate.pads[name])
            numbers = np.zeros([len(rows), width], np.int32)
            for place, row in enumerate(rows):
                _fill(values[place], numbers[place], column, examples[row])
            batch |= {name: values.ravel(), marks: numbers.ravel()}
        return batch

    def _packed(
        self, examples: np.ndarray
    ) -> tuple[list[np.ndarray], np.ndarray, list[int]]:
        """Places of the examples in each row, tokens `[rows, 2]`, and the widths."""
        columns = [self.collate.lists[name] for name in TEXTS]
        sizes = np.stack([column.lengths[examples] for column in columns], axis=1)
        limits = np.array([self.collate.widths[name] for name in TEXTS])
        rows = pack(sizes, limits)
        totals = np.array([sizes[row].sum(axis=0) for row in rows])
        widths = [
            round_up(max(int(longest), 1), self.collate.multiple)
            for longest in totals.max(axis=0)
        ]
        return rows, totals, widths


def _fill(
    values: np.ndarray, numbers: np.ndarray, column: TokenColumn, examples: np.ndarray
) -> None:
    """Write examples one after another into a row, and their numbers from 1."""
    end = 0
    for number, example in enumerate(examples, start=1):
        start, end = end, end + column.lengths[example]
        first = column.starts[example]
        values[start:end] = column.values[first : first + end - start]
        numbers[start:end] = number
