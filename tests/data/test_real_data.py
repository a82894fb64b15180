"""The real data sets and tokenizers, where they lie beside the repository."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from kerastune_llm.data.features import tokenise
from kerastune_llm.data.render import render_inputs, render_targets
from kerastune_llm.data.sources import discover_labels, load_rows
from kerastune_llm.metrics.scoring import score
from kerastune_llm.tasks.custom import configure_task
from kerastune_llm.tasks.task import get_task

SHARED = Path(__file__).parents[3] / "shared"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not (SHARED / "data").is_dir(), reason=f"no real data in {SHARED}"
    ),
]


def load(task, file, **options):
    task = get_task(task) if isinstance(task, str) else task
    return load_rows(
        task, "train", source="files", path=SHARED / "data" / file, **options
    )


def tokenizer(name):
    return AutoTokenizer.from_pretrained(SHARED / "tokenizers" / name)


@pytest.mark.parametrize(
    ("file", "count", "unanswerable"),
    [("dev-v1.1.json", 10_570, 0), ("dev-v2.0.json", 11_873, 5_945)],
)
def test_squad(file, count, unanswerable):
    rows = load("squad", f"squad/{file}")
    assert len(rows) == count
    assert len(set(rows["id"])) == count
    references = list(rows["references"])
    assert references.count([]) == unanswerable
    values = score(["squad"], list(rows["target"]), references)
    assert values["exact_match"] == values["f1"] == 100.0


def test_squad_row_is_that_of_the_file():
    content = json.loads((SHARED / "data/squad/dev-v1.1.json").read_text("utf-8"))
    article = content["data"][-1]
    paragraph = article["paragraphs"][-1]
    question = paragraph["qas"][-1]
    texts = [answer["text"] for answer in question["answers"]]
    assert load("squad", "squad/dev-v1.1.json")[-1] == {
        "group": article["title"],
        "id": question["id"],
        "question": question["question"],
        "context": paragraph["context"],
        "target": texts[0],
        "references": list(dict.fromkeys(texts)),
    }


@pytest.mark.parametrize(("file", "count"), [("train", 8_551), ("dev", 1_043)])
def test_cola(file, count):
    rows = load("cola", f"glue/CoLA/{file}.tsv")
    assert len(rows) == count
    text = (SHARED / f"data/glue/CoLA/{file}.tsv").read_text("utf-8")
    fields = [line.split("\t") for line in text.rstrip("\n").split("\n")]
    assert list(rows["label"]) == [int(row[1]) for row in fields]
    assert list(rows["sentence"]) == [row[3] for row in fields]


def test_cola_test_file_has_a_header_and_no_labels():
    rows = load("cola", "glue/CoLA/test.tsv", require_target=False)
    assert len(rows) == 1_063 and rows["sentence"][0] == "Bill whistled past the house."


OTHERS = {
    "glue/SST-2/dev.tsv": (872, {"input_template": "{sentence}"}, ("0", "1")),
    "glue/MRPC/dev.tsv": (
        408,
        {"input_template": "{#1 String} {#2 String}", "label_column": "Quality"},
        ("0", "1"),
    ),
    "imdb/test.jsonl": (25_000, {"input_template": "{text}"}, ("0", "1")),
}


@pytest.mark.parametrize("file", OTHERS)
def test_labelled_files(file):
    count, options, labels = OTHERS[file]
    task = configure_task(get_task("custom"), **({"label_column": "label"} | options))
    rows = load(task, file)
    assert len(rows) == count
    assert discover_labels(task, rows) == labels
    # A file sorted by label still gives both.
    assert discover_labels(task, load(task, file, max_rows=30)) == labels


@pytest.mark.parametrize(
    ("file", "count", "column"),
    [
        ("webquestions/test.jsonl", 2_032, "answers"),
        ("nq_open/NQ-open.dev.jsonl", 3_610, "answer"),
    ],
)
def test_questions_with_lists_of_answers(file, count, column):
    task = configure_task(
        get_task("custom"), input_template="{question}", references_column=column
    )
    rows = load(task, file)
    assert len(rows) == count and all(rows["references"])


@pytest.mark.parametrize(
    ("task", "file", "name", "as_text"),
    [
        ("squad", "squad/dev-v1.1.json", "t5-tokenizer", True),
        ("squad", "squad/dev-v2.0.json", "t5-tokenizer", True),
        ("cola", "glue/CoLA/dev.tsv", "t5-tokenizer", True),
        ("cola", "glue/CoLA/dev.tsv", "bert-base-uncased-tokenizer", False),
    ],
)
def test_real_tokenizers(tmp_path, task, file, name, as_text):
    task, words = get_task(task), tokenizer(name)
    rows = load(task, file, max_rows=200)
    done = tokenise(
        rows,
        task,
        words,
        as_text=as_text,
        max_input_tokens=128,
        max_target_tokens=16,
        cache_dir=tmp_path,
    )
    texts = render_inputs(task, rows, as_text=as_text)
    alone = [words(text)["input_ids"] for text in texts]
    cut = [ids for ids in alone if len(ids) > 128]
    assert done.truncation.inputs_cut == len(cut)
    for ids, whole in zip(done.dataset["input_ids"], alone, strict=True):
        # The last token is the one that ends a sequence, also where it was cut.
        assert len(ids) <= 128 and ids[-1] == whole[-1]
        assert ids[:-1] == whole[: len(ids) - 1]
    if not as_text:
        assert list(done.dataset["labels"]) == list(rows["label"])
        return
    targets = render_targets(task, rows)
    lost = 0
    for text, target, ids in zip(
        texts, targets, done.dataset["input_ids"], strict=True
    ):
        kept = words.decode(ids, skip_special_tokens=True)
        is_cut = len(ids) == 128
        lost += is_cut and target != "" and target in text and target not in kept
    # Decoding gives some characters another form; the offsets do not.
    assert abs(done.truncation.answers_lost - lost) <= 2
    for ids, target in zip(done.dataset["labels"], targets, strict=True):
        assert ids[-1] == words.eos_token_id
        assert len(ids) == min(len(words(target)["input_ids"]), 16)
