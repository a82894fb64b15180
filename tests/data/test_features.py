"""Rows to token ids: what is cut, what is cached, and for which tokenizers."""

import logging
from dataclasses import replace

import datasets
import pytest

from kerastune_llm.data.features import tokenise
from kerastune_llm.data.rows import Table, to_dataset
from kerastune_llm.data.truncation import TruncationReport
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import get_task
from tests.tiny_tokenizers import fast_tokenizer, slow_tokenizer

QA = [
    ("which river ?", "the nile flows in egypt .", ["nile"]),
    ("which ?", "dogs bark . one two three four five . it is the nile", ["nile"]),
    ("which ?", "it is long long long long long long long long", ["short"]),
    ("which ?", "dogs bark", ["one two three four five one two three"]),
    ("which ?", "one two three four five one two three four five one two", []),
]
COLA = [("dogs bark .", 1), ("bark dogs the .", 0), ("it is a long river in egypt", 1)]


def rows_of(task, rows, *, require_target=True):
    table = Table("t", [(f"row {n}", row) for n, row in enumerate(rows)])
    return to_dataset(task, [table], require_target=require_target)


@pytest.fixture
def squad_rows():
    rows = [{"question": q, "context": c, "answers": a} for q, c, a in QA]
    return rows_of(get_task("squad"), rows)


@pytest.fixture
def cola_rows():
    return rows_of(get_task("cola"), [{"sentence": s, "label": y} for s, y in COLA])


@pytest.fixture
def run(tmp_path):
    def tokens(rows, task="squad", tokenizer=None, **options):
        defaults = {
            "as_text": task == "squad",
            "max_input_tokens": 14,
            "max_target_tokens": 8,
            "cache_dir": tmp_path / "cache",
        }
        task = get_task(task) if isinstance(task, str) else task
        tokenizer = tokenizer or fast_tokenizer()
        return tokenise(rows, task, tokenizer, **(defaults | options))

    return tokens


def test_ids_are_those_of_the_tokenizer(run, squad_rows):
    tokenizer = fast_tokenizer()
    done = run(squad_rows).dataset
    texts = [f"question: {q} context: {c}" for q, c, _ in QA]
    inputs = tokenizer(texts, truncation=True, max_length=14)
    assert list(done["input_ids"]) == inputs["input_ids"]
    assert list(done["token_type_ids"]) == inputs["token_type_ids"]
    targets = [answers[0] if answers else "" for _, _, answers in QA]
    labels = tokenizer(targets, truncation=True, max_length=8)["input_ids"]
    assert list(done["labels"]) == labels


def test_truncation_is_counted(run, squad_rows):
    # Of 14 tokens, 2 are special and 6 or 7 are "question: which river? context:". All
    # rows but the fourth are longer. Row 2's answer is in what was cut; row 1's was
    # kept, row 3's was never there, row 5 has none. Row 4's target is 8 words and 2
    # special tokens.
    expected = TruncationReport(5, inputs_cut=4, answers_lost=1, targets_cut=1)
    assert run(squad_rows).truncation == expected


@pytest.mark.parametrize("limit", [14, 18, 512])
def test_slow_and_fast_tokenizers_agree(run, squad_rows, tmp_path, limit):
    slow = slow_tokenizer(tmp_path)
    assert not slow.is_fast
    one = run(squad_rows, max_input_tokens=limit)
    other = run(squad_rows, tokenizer=slow, max_input_tokens=limit)
    assert one.truncation == other.truncation
    assert one.dataset.to_dict() == other.dataset.to_dict()


def test_labels_for_a_head(run, cola_rows):
    done = run(cola_rows, "cola").dataset
    assert list(done["labels"]) == [1, 0, 1]
    assert done.features["labels"].dtype == "int32"


def test_labels_as_text(run, cola_rows):
    tokenizer = fast_tokenizer(with_types=False)
    done = run(cola_rows, "cola", tokenizer, as_text=True).dataset
    assert done.column_names == ["input_ids", "labels"]
    names = ["acceptable", "unacceptable", "acceptable"]
    assert list(done["labels"]) == tokenizer(names)["input_ids"]
    assert tokenizer.decode(done["input_ids"][0]).startswith("[CLS] cola sentence :")


def test_rows_without_targets(run):
    rows = [{"sentence": "dogs bark"}]
    rows = rows_of(get_task("cola"), rows, require_target=False)
    assert run(rows, "cola").dataset.column_names == ["input_ids", "token_type_ids"]


def test_numbers_for_regression(run):
    task = replace(get_task("cola"), kind="regression", labels=())
    rows = rows_of(task, [{"sentence": "dogs bark", "label": 2.5}])
    assert run(rows, task, as_text=False).dataset["labels"][0] == 2.5


def test_labels_must_be_known(run):
    task = replace(get_task("cola"), labels=())
    rows = rows_of(task, [{"sentence": "dogs bark", "label": "good"}])
    with pytest.raises(UserError, match="encode_labels"):
        run(rows, task, as_text=False)


def test_processes_give_the_same(run, squad_rows, tmp_path):
    rows = datasets.concatenate_datasets([squad_rows] * 300)
    one = run(rows)
    two = run(rows, num_proc=2, cache_dir=tmp_path / "other")
    assert one.truncation == two.truncation
    assert one.dataset.to_dict() == two.dataset.to_dict()


def entries(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").iterdir())


def test_second_call_reads_the_cache(run, squad_rows, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    first = run(squad_rows)
    assert len(entries(tmp_path)) == 1 and "cached" not in caplog.text

    def never(*args, **options):
        raise RuntimeError("tokenised again")

    monkeypatch.setattr(datasets.Dataset, "map", never)
    second = run(squad_rows)
    assert "cached" in caplog.text
    assert second.truncation == first.truncation
    assert second.dataset.to_dict() == first.dataset.to_dict()


def test_cache_outlives_a_used_tokenizer(run, squad_rows, tmp_path):
    tokenizer = fast_tokenizer()
    run(squad_rows, tokenizer=tokenizer)
    # A call with truncation and padding leaves both set in the tokenizer.
    tokenizer(["a"], truncation=True, max_length=3, padding="max_length")
    run(squad_rows, tokenizer=tokenizer)
    assert len(entries(tmp_path)) == 1


@pytest.mark.parametrize("kind", ["fast", "slow"])
def test_the_tokenizers_folder_does_not_matter(run, squad_rows, tmp_path, kind):
    tokenizer = fast_tokenizer() if kind == "fast" else slow_tokenizer(tmp_path)
    for folder in (tmp_path / "one", tmp_path / "two"):
        tokenizer.save_pretrained(folder)
        run(squad_rows, tokenizer=type(tokenizer).from_pretrained(folder))
    assert len(entries(tmp_path)) == 1
    # A word more in the vocabulary is another tokenizer.
    tokenizer.add_tokens(["extra"])
    run(squad_rows, tokenizer=tokenizer)
    assert len(entries(tmp_path)) == 2


def test_whatever_changes_the_ids_changes_the_key(run, squad_rows, tmp_path):
    task, tokenizer = get_task("squad"), fast_tokenizer()
    tokenizer.add_tokens(["egypt"])
    run(squad_rows)
    run(squad_rows.select([1, 0, 2, 3, 4]))
    run(squad_rows, max_input_tokens=15)
    run(squad_rows, max_target_tokens=9)
    run(squad_rows, replace(task, input_template="{context} {question}"), as_text=True)
    run(squad_rows, tokenizer=tokenizer)
    assert len(entries(tmp_path)) == 6


@pytest.mark.parametrize("damage", ["cut", "changed", "no entry", "bad entry", "gone"])
def test_a_damaged_entry_is_made_anew(run, squad_rows, tmp_path, caplog, damage):
    first = run(squad_rows).dataset.to_dict()
    (entry,) = (tmp_path / "cache").iterdir()
    (data,) = entry.glob("*.arrow")
    if damage == "cut":
        data.write_bytes(data.read_bytes()[:-100])
    elif damage == "changed":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif damage == "gone":
        data.unlink()
    elif damage == "no entry":
        (entry / "entry.json").unlink()
    else:
        (entry / "entry.json").write_text("{", encoding="utf-8")
    assert run(squad_rows).dataset.to_dict() == first
    assert "damaged" in caplog.text or "cannot be read" in caplog.text
    assert entries(tmp_path) == [entry.name]
    caplog.clear()
    run(squad_rows)
    assert caplog.text == ""


def test_nothing_is_left_behind_by_a_failure(run, cola_rows, tmp_path):
    one_label = replace(get_task("cola"), labels=("unacceptable",))
    with pytest.raises(IndexError):
        run(cola_rows, one_label, as_text=True)
    assert not (tmp_path / "cache").exists() or entries(tmp_path) == []


def test_cache_folder_from_the_environment(squad_rows, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "mine"))
    options = {"as_text": True, "max_input_tokens": 14, "max_target_tokens": 8}
    tokenise(squad_rows, get_task("squad"), fast_tokenizer(), **options)
    assert len(list((tmp_path / "mine").iterdir())) == 1


def test_cache_folder_that_cannot_be_written(run, squad_rows, tmp_path):
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="KERASTUNE_CACHE=/another/folder"):
        run(squad_rows, cache_dir=file / "cache")
