"""What is said of rows against what they are."""

import datasets
import numpy as np

from kerastune_llm.data.description import (
    describe_columns,
    full_lengths,
    number_row,
    target_row,
)
from kerastune_llm.data.features import tokenise
from kerastune_llm.tasks.custom import configure_task, custom
from tests.tiny_tokenizers import fast_tokenizer, slow_tokenizer


def test_lengths_are_those_before_the_cut(tmp_path):
    texts, answers = ["a", "dogs bark", "one two three four five"], ["a", "", "a a a a"]
    rows = datasets.Dataset.from_dict(
        {"id": ["1", "2", "3"], "q": texts, "target": answers, "references": [[]] * 3}
    )
    task = configure_task(custom(), input_template="{q}", target_template="{a}")
    options = {"as_text": True, "max_input_tokens": 4, "max_target_tokens": 4}
    for tokenizer in (fast_tokenizer(), slow_tokenizer(tmp_path)):
        tokenised = tokenise(rows, task, tokenizer, **options, cache_dir=tmp_path)
        found = full_lengths(
            rows, tokenised.dataset, task=task, tokenizer=tokenizer, **options
        )
        assert found.inputs.tolist() == [3, 4, 7]
        assert found.targets.tolist() == [3, 2, 6]


def test_numbers_texts_and_columns():
    label = datasets.Value("float32")
    rows = datasets.Dataset.from_dict(
        {"label": np.array([0.2, 5, 1, 2], np.float32)},
        features=datasets.Features({"label": label}),
    )
    assert np.allclose(number_row(rows), [0.2, 2.05, 1.5, 5])
    assert list(describe_columns(rows)) == [("label", "float32", 4, "0.2")]
    texts = {"target": ["a", "", "a"], "references": [["a", "b"], [], ["a"]]}
    rows = datasets.Dataset.from_dict(texts)
    assert target_row(rows) == [2, 1, 1]
    kinds = [kind for _, kind, _, _ in describe_columns(rows)]
    assert kinds == ["text", "list of text"]
