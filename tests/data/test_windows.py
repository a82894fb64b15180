"""Long contexts in windows: nothing of them is lost, and nothing is too long."""

import datasets
import numpy as np
import pytest

from kerastune_llm.data.render import render_inputs
from kerastune_llm.data.windows import cut_windows, split_words, with_windows
from kerastune_llm.models.tokenizer import load_tokenizer
from kerastune_llm.tasks.task import get_task
from tests.tiny_tokenizers import TEXT, fast_tokenizer, slow_tokenizer

TASK = get_task("squad_v2")
LIMIT = 40


def words(count, seed):
    known = [word for word in TEXT.split() if word.isalpha()]
    return np.random.default_rng(seed).choice([*known, "Egypt,", "(long)"], count)


def rows(sizes, targets=None):
    contexts = ["  ".join(words(size, n)) for n, size in enumerate(sizes)]
    targets = targets or [""] * len(sizes)
    return datasets.Dataset.from_dict(
        {
            "id": [str(n) for n in range(len(sizes))],
            "question": ["is the nile long?"] * len(sizes),
            "context": contexts,
            "target": targets,
            "references": [[target] if target else [] for target in targets],
        }
    )


@pytest.fixture(scope="module", params=["fast", "slow", "sentencepiece"])
def tokenizer(request, tmp_path_factory):
    if request.param == "sentencepiece":
        return load_tokenizer("starter")
    if request.param == "slow":
        return slow_tokenizer(tmp_path_factory.mktemp("words"))
    return fast_tokenizer()


def cut(given, tokenizer, stride=10, limit=LIMIT):
    return cut_windows(given, TASK, tokenizer, max_input_tokens=limit, stride=stride)


def lengths(given, tokenizer):
    texts = render_inputs(TASK, given, as_text=True)
    return np.array([len(ids) for ids in tokenizer(texts)["input_ids"]])


def test_windows_fit_cover_the_context_and_overlap(tokenizer):
    given = rows([5, 200, 12, 90])
    found = cut(given, tokenizer)
    sizes = lengths(found.rows, tokenizer)
    counts = found.counts()
    assert sizes.max() <= LIMIT and counts[0] == 1 and min(counts[[1, 3]]) > 3
    # All but a row's last are full: no word more would fit.
    is_last = np.append(np.diff(found.owners) > 0, True)
    assert (sizes[~is_last] > LIMIT - 12).all()
    for owner in range(len(given)):
        parts = [
            text.split()
            for text, own in zip(found.rows["context"], found.owners, strict=True)
            if own == owner
        ]
        whole = list(parts[0])
        for before, part in zip(parts, parts[1:], strict=False):
            shared = max(n for n in range(11) if before[len(before) - n :] == part[:n])
            assert shared >= 1
            whole += part[shared:]
        assert whole == given["context"][owner].split()
    assert found.rows["id"][:3] == ["0", "1/window-1", "1/window-2"]
    assert set(found.rows["question"]) == {"is the nile long?"}


def test_rows_that_fit_stay_as_they_are(tokenizer):
    given = rows([5, 3])
    assert cut(given, tokenizer).rows[:] == given[:]


def test_the_windows_to_learn_from():
    given = rows([120, 120, 120], ["", "dogs bark un", "the Amazon"])
    text = given["context"][1]
    middle = text[: len(text) // 2] + " dogs bark un " + text[len(text) // 2 :]
    contexts = [given["context"][0], middle, given["context"][2]]
    given = given.remove_columns("context").add_column("context", contexts)
    found = cut(given, fast_tokenizer())
    chosen = found.holding_answer()
    owners = found.owners[chosen].tolist()
    # All windows without an answer; of an answer that is nowhere, the first.
    assert owners.count(0) == found.counts()[0] and owners.count(2) == 1
    holding = [found.rows["context"][n] for n in chosen if found.owners[n] == 1]
    assert 1 <= len(holding) < found.counts()[1]
    assert all("dogs bark un" in text for text in holding)


def test_a_question_without_room_for_its_context_stays_one_row():
    given = rows([30]).map(lambda row: {"question": "the nile " * 30})
    assert cut(given, fast_tokenizer()).rows["id"][:] == ["0"]


def test_little_room_still_moves_on():
    found = cut(rows([60]), fast_tokenizer(), stride=39, limit=16)
    # Half of a window is new, so 60 words need no more than 60 / 2 windows.
    assert 1 < found.counts()[0] < 30


def test_a_word_larger_than_a_window_is_one_by_itself():
    assert split_words([2, 9, 2], room=4, stride=1) == [(0, 1), (1, 2), (2, 3)]


def test_columns_of_all_windows_in_one_row_a_row():
    windows = datasets.Dataset.from_dict({"input_ids": [[1], [2, 2], [3], [4]]})
    rows = datasets.Dataset.from_dict(
        {"input_ids": [[2, 2], [3]], "labels": [[7], [8]]}
    )
    found = with_windows(rows, windows, np.array([0, 0, 1, 1]))
    assert found["windows"][:] == [[[1], [2, 2]], [[3], [4]]]
    assert found.remove_columns("windows")[:] == rows[:]
