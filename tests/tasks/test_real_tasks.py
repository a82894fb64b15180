"""Every task on its real files: rows, tokens, and a short training of a tiny model."""

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import kerastune_llm
from kerastune_llm.data.features import tokenise
from kerastune_llm.data.sources import discover_labels, encode_labels, load_rows
from kerastune_llm.metrics.scoring import score
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.tasks.task import get_task
from tests.tiny_models import tiny

SHARED = Path(__file__).parents[3] / "shared"
DATA = SHARED / "data"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data in {SHARED}"),
]

# Training and validation file, and how many rows each has.
FILES = {
    "squad_v2": ("squad/dev-v2.0.json", 11_873, None, 0),
    "cola": ("glue/CoLA/train.tsv", 8_551, "glue/CoLA/dev.tsv", 1_043),
    "sst2": ("glue/SST-2/train.tsv", 67_349, "glue/SST-2/dev.tsv", 872),
    "mrpc": ("glue/MRPC/train.tsv", 3_667, "glue/MRPC/dev.tsv", 408),
    "stsb": ("glue/STS-B/train.tsv", 5_749, "glue/STS-B/dev.tsv", 1_500),
    "imdb": ("imdb/train.jsonl", 25_000, None, 0),
    "closed_book_qa": (
        "webquestions/train.jsonl",
        3_778,
        "nq_open/NQ-open.dev.jsonl",
        3_610,
    ),
    "dialogsum": (
        "dialogsum/dialogsum.train.jsonl",
        12_460,
        "dialogsum/dialogsum.test.jsonl",
        500,
    ),
    "tags": (
        "stackoverflow_tags/train.jsonl",
        27_000,
        "stackoverflow_tags/validation.jsonl",
        3_000,
    ),
}
WITH_HEAD = [name for name in FILES if get_task(name).has_labels]


def load(name, file, **options):
    return load_rows(
        get_task(name), "train", source="files", path=DATA / file, **options
    )


def labelled(task, rows):
    if not task.lacks_labels:
        return task, rows
    labels = discover_labels(task, rows)
    return replace(task, labels=labels), encode_labels(rows, labels)


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_read_and_scored_perfect_by_itself(name):
    train, train_rows, validation, validation_rows = FILES[name]
    task, rows = labelled(get_task(name), load(name, train))
    assert len(rows) == train_rows
    if validation is not None:
        rows = load_rows(task, "validation", source="files", path=DATA / validation)
        assert len(rows) == validation_rows
    rows = rows.select(range(300))
    truth = list(rows["label"] if task.has_labels else rows["references"])
    answers = truth if task.has_labels else list(rows["target"])
    best = score(task.metrics, answers, truth)[task.best_metric]
    assert best == pytest.approx(1.0 if task.has_labels else 100.0)


def test_dialogsum_s_test_rows_have_three_summaries():
    rows = load("dialogsum", "dialogsum/dialogsum.test.jsonl", max_rows=5)
    assert {len(references) for references in rows["references"]} == {3}
    assert rows["id"][0].startswith("test_")


def test_stackoverflow_has_its_hundred_tags():
    task, _ = labelled(get_task("tags"), load("tags", "stackoverflow_tags/train.jsonl"))
    assert len(task.labels) == 100 and {"c++", "c#", "python"} < set(task.labels)


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_real_tokenizers(name, as_text, tmp_path):
    folder = "t5-tokenizer" if as_text else "bert-base-uncased-tokenizer"
    words = AutoTokenizer.from_pretrained(SHARED / "tokenizers" / folder)
    task, rows = labelled(get_task(name), load(name, FILES[name][0], max_rows=200))
    if not (as_text or task.has_labels):
        pytest.skip("text is written by a text-to-text model only")
    done = tokenise(rows, task, words, as_text=as_text, cache_dir=tmp_path)
    lengths = [len(ids) for ids in done.dataset["input_ids"]]
    assert min(lengths) > 2 and max(lengths) <= task.max_input_tokens
    if as_text:
        # Numbers, labels and tags are never cut; summaries hardly ever.
        assert done.truncation.targets_cut <= (2 if name == "dialogsum" else 0)


def tiny_folder(folder, architecture, tokenizer):
    words = AutoTokenizer.from_pretrained(SHARED / "tokenizers" / tokenizer)
    save_model(tiny(architecture, vocab_size=len(words)), words, folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    return tiny_folder(folder, "bert", "bert-base-uncased-tokenizer")


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("writer")
    return tiny_folder(folder, "t5", "t5-tokenizer")


def train(name, model, output):
    file, _, validation, _ = FILES[name]
    data = {
        "train": DATA / file,
        "max_train_samples": 60,
        "max_validation_samples": 8,
        "max_input_tokens": 48,
        "max_target_tokens": 16,
    }
    if validation is not None:
        data["validation"] = DATA / validation
    return kerastune_llm.train(
        {
            "task": name,
            "model": str(model),
            "data": data,
            "optim": {"max_steps": 3, "batch_size": 8},
            "evaluation": {"batch_size": 8},
            "output": output,
        }
    )


@pytest.mark.long
@pytest.mark.parametrize("name", WITH_HEAD)
def test_a_tiny_encoder_trains(name, encoder, tmp_path):
    result = train(name, encoder, tmp_path / "run")
    assert get_task(name).best_metric in result.metrics


@pytest.mark.long
@pytest.mark.parametrize("name", FILES)
def test_a_tiny_t5_trains(name, writer, tmp_path):
    result = train(name, writer, tmp_path / "run")
    assert get_task(name).best_metric in result.metrics
