"""Whether a SavedModel answers as the Python pipeline does."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from kerastune_llm.serving import probe

# Probabilities and numbers differ by the rounding of other shapes of batch.
TOLERANCE = 1e-4
_SHOWN = 5


@dataclass(frozen=True)
class Examples:
    """Rows and what the Python pipeline makes of them.

    Args:
        fields: Texts by field, of one length.
        input_ids: Ids of each row.
        texts: The generated text of each row, `None` from a head.
        values: float32 `[rows, labels]` from a head: probabilities, or one number.
        token_type_ids: Token types of each row, where the model takes them.
    """

    fields: Mapping[str, Sequence[str]]
    input_ids: Sequence[Sequence[int]]
    texts: Sequence[str] | None = None
    values: np.ndarray | None = None
    token_type_ids: Sequence[Sequence[int]] | None = None

    def id_columns(self, names: Collection[str]) -> dict[str, list[list[int]]]:
        """The inputs of these names for a model that takes token ids.

        >>> Examples({"x": ["a"]}, [[5, 1]]).id_columns({"input_ids", "token_type_ids"})
        {'input_ids': [[5, 1]], 'token_type_ids': [[0, 0]]}
        """
        ids = [list(row) for row in self.input_ids]
        types = self.token_type_ids or [[0] * len(row) for row in ids]
        columns = {
            "input_ids": ids,
            "attention_mask": [[1] * len(row) for row in ids],
            "token_type_ids": [list(row) for row in types],
        }
        return {name: columns[name] for name in columns if name in names}


@dataclass(frozen=True)
class Parity:
    """What comparing came to.

    Args:
        rows: Rows compared.
        ties: Rows cut into other pieces of the same probability.
        differences: Any other difference, one line each.
    """

    rows: int
    ties: int
    differences: tuple[str, ...]

    def describe(self) -> str:
        """The outcome in words.

        >>> print(Parity(227, 1, ()).describe())
        227 texts answered as in Python, 1 of them with a tie between pieces
        """
        if not self.differences:
            tied = f", {self.ties} of them with a tie between pieces"
            return f"{self.rows} texts answered as in Python{tied if self.ties else ''}"
        shown = "\n".join(self.differences[:_SHOWN])
        return f"{len(self.differences)} of {self.rows} texts differ, such as\n{shown}"


def probe_in_fresh_process(
    model: Path, fields: Mapping[str, Sequence[Any]]
) -> dict[str, list[Any]]:
    """What the SavedModel in a folder answers in a process of its own, row by row.

    Raises:
        RuntimeError: The process failed; the message ends with what it wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows, answers = Path(folder) / "rows.json", Path(folder) / "answers.json"
        rows.write_text(json.dumps(dict(fields)), encoding="utf-8")
        command = [sys.executable, "-I", probe.__file__, model, rows, answers]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(
                f"The exported model does not run by itself:\n{done.stderr[-2000:]}"
            )
        return json.loads(answers.read_text(encoding="utf-8"))


def compare(
    found: Mapping[str, Sequence[Any]],
    examples: Examples,
    tokenizer: PreTrainedTokenizerBase,
    *,
    answer: str,
) -> Parity:
    """Compare what was found with the examples.

    Args:
        found: `input_ids` and outputs, row by row.
        examples: What is expected.
        tokenizer: Knows the probabilities of pieces, for ties.
        answer: Name of the output to compare with the examples' texts or values.
    """
    scores = _piece_scores(tokenizer)
    ties, differences = 0, []
    for row, expected in enumerate(examples.input_ids):
        ids = found["input_ids"][row]
        if ids != list(expected):
            if _is_tie(ids, list(expected), scores):
                ties += 1
            else:
                differences.append(_difference(examples, row, ids, list(expected)))
            continue
        for one, other in _answers(found[answer], examples, row):
            if not _same(one, other):
                differences.append(_difference(examples, row, one, other))
    return Parity(len(examples.input_ids), ties, tuple(differences))


def _answers(
    column: Sequence[Any], examples: Examples, row: int
) -> Iterator[tuple[Any, Any]]:
    if examples.texts is not None:
        yield column[row], examples.texts[row]
    if examples.values is not None:
        yield np.ravel(column[row]), np.ravel(examples.values[row])


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str):
        return one == other
    return one.shape == other.shape and np.allclose(one, other, atol=TOLERANCE)


def _piece_scores(tokenizer: PreTrainedTokenizerBase) -> list[float] | None:
    """Log probabilities of the pieces of a unigram model by id."""
    if not tokenizer.is_fast:
        return None
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if model["type"] != "Unigram":
        return None
    return [score for _, score in model["vocab"]]


def _is_tie(one: list[int], other: list[int], scores: list[float] | None) -> bool:
    """Whether two rows of ids are equally probable under a unigram model.

    What stands alike at both ends is left out, for sums of long rows round off.
    """
    if scores is None:
        return False
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    sums = [sum(scores[token] for token in ids) for ids in (one, other)]
    return bool(one and other) and abs(sums[0] - sums[1]) < TOLERANCE * len(one)


def _difference(examples: Examples, row: int, found: Any, expected: Any) -> str:
    text = {name: column[row][:60] for name, column in examples.fields.items()}
    return f"  {text!a}: {_short(found)} instead of {_short(expected)}"


def _short(value: Any) -> str:
    shown = ascii(value.tolist() if isinstance(value, np.ndarray) else value)
    return shown if len(shown) <= 120 else f"{shown[:117]}..."
