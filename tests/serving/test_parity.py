"""What counts as a difference, and what as a tie."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from kerastune_llm.serving.parity import Examples, compare

# "ab" + "c" is as probable as "a" + "bc"; "a" + "b" + "c" is not.
PIECES = [("?", 0.0), ("a", -2.0), ("b", -4.0), ("c", -3.0), ("ab", -3.0), ("bc", -4.0)]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.Unigram(PIECES, unk_id=0))
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def outcome(tokenizer, ids, text):
    examples = Examples({"x": ["abc"]}, [[2, 4, 3, 1]], texts=["yes"])
    found = {"input_ids": [ids], "answer": [text]}
    parity = compare(found, examples, tokenizer, answer="answer")
    return parity.ties, len(parity.differences)


def test_ids_may_differ_by_a_tie_only(tokenizer):
    assert outcome(tokenizer, [2, 4, 3, 1], "yes") == (0, 0)
    assert outcome(tokenizer, [2, 1, 5, 1], "other") == (1, 0)
    assert outcome(tokenizer, [2, 1, 2, 3, 1], "yes") == (0, 1)
    assert outcome(tokenizer, [2, 4, 3], "yes") == (0, 1)
    assert outcome(tokenizer, [2, 4, 3, 1], "no") == (0, 1)


@pytest.mark.parametrize(("change", "differences"), [(1e-6, 0), (1e-3, 1)])
def test_probabilities_may_differ_by_rounding(tokenizer, change, differences):
    values = np.array([[0.25, 0.75]], np.float32)
    examples = Examples({"x": ["a"]}, [[1]], values=values)
    found = {"input_ids": [[1]], "probabilities": (values + change).tolist()}
    parity = compare(found, examples, tokenizer, answer="probabilities")
    assert len(parity.differences) == differences
    assert ("'a'" in parity.describe()) == bool(differences)
