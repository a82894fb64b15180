"""Pairs, numbers and label sets on their way to batches."""

from dataclasses import replace

import numpy as np
import pytest

from kerastune_llm.data.features import tokenise
from kerastune_llm.data.pipeline import build_dataset
from kerastune_llm.data.sources import discover_labels, encode_labels, load_rows
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import get_task
from tests.tiny_tokenizers import fast_tokenizer, slow_tokenizer


def tokenised(task, rows, tokenizer, cache_dir, *, as_text=False, **options):
    return tokenise(
        rows, task, tokenizer, as_text=as_text, cache_dir=cache_dir, **options
    )


@pytest.mark.parametrize("make", ["fast", "slow"])
def test_a_pair_is_encoded_as_the_tokenizer_s_own_pair(tmp_path, make):
    words = fast_tokenizer() if make == "fast" else slow_tokenizer(tmp_path)
    task = get_task("mrpc")
    rows = load_rows(task, "train", max_rows=20)
    done = tokenised(task, rows, words, tmp_path / "cache", max_input_tokens=13)
    pairs = list(zip(rows["sentence1"], rows["sentence2"], strict=True))
    whole = words(pairs)["input_ids"]
    expected = words(pairs, truncation=True, max_length=13)
    assert list(done.dataset["input_ids"]) == expected["input_ids"]
    assert list(done.dataset["token_type_ids"]) == expected["token_type_ids"]
    assert {1} < set(np.concatenate(expected["token_type_ids"]) + 1)
    cut = sum(len(ids) > 13 for ids in whole)
    assert 0 < cut < 20 and done.truncation.inputs_cut == cut


def test_the_second_text_is_part_of_the_cache_s_key(tmp_path):
    task, words = get_task("mrpc"), fast_tokenizer()
    rows = load_rows(task, "train", max_rows=5)
    other = rows.map(lambda row: {"sentence2": "the nile"})
    first = tokenised(task, rows, words, tmp_path).dataset["input_ids"]
    second = tokenised(task, other, words, tmp_path).dataset["input_ids"]
    assert list(first) != list(second)


def test_label_sets_become_zeros_and_ones(tmp_path):
    task, words = get_task("tags"), fast_tokenizer()
    rows = load_rows(task, "train", max_rows=30)
    with pytest.raises(UserError, match="labels are names still"):
        tokenised(task, rows, words, tmp_path)
    labels = discover_labels(task, rows)
    names = list(rows["label"])
    task, rows = replace(task, labels=labels), encode_labels(rows, labels)
    done = tokenised(task, rows, words, tmp_path).dataset
    for batching in ("bucket", "fixed"):
        batches = build_dataset(
            done,
            tokenizer=words,
            batch_size=10,
            shuffle=False,
            batching=batching,
            pad_to_multiple_of=8,
        )
        found = np.concatenate([batch["labels"].numpy() for batch in batches])
        assert found.dtype == np.float32 and found.shape == (30, len(labels))
        # Buckets change the order of the rows.
        expected = [tuple(float(label in row) for label in labels) for row in names]
        assert sorted(map(tuple, found.tolist())) == sorted(expected)


def test_numbers_stay_numbers(tmp_path):
    task, words = get_task("stsb"), fast_tokenizer()
    rows = load_rows(task, "train", max_rows=16)
    done = tokenised(task, rows, words, tmp_path).dataset
    [batch] = build_dataset(done, tokenizer=words, batch_size=16, shuffle=False)
    assert batch["labels"].dtype == "float32" and batch["labels"].shape == [16]
    assert sorted(batch["labels"].numpy().tolist()) == sorted(rows["label"])
