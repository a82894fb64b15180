"""The model card: front matter as the hub reads it, and what a person is told."""

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, constants

from kerastune_llm.commands.job import Job, assemble
from kerastune_llm.commands.model_card import Place, model_card
from kerastune_llm.config import RunConfig
from kerastune_llm.models.checkpoint import save_model
from tests.tiny_models import tiny
from tests.tiny_tokenizers import fast_tokenizer

FACTS = {
    "trainable": 344_064,
    "total": 77_305_216,
    "percent": 0.445,
    "training_rows": 87_599,
    "validation_rows": 10_570,
    "steps": 32_850,
    "seconds": 7261.4,
}
METRICS = {"exact_match": 75.12345, "f1": 84.0, "f1_low": 83.0, "loss": float("nan")}
HERE = Place("lora", "runs/lora/adapter", "adapter", Path("runs/lora"))
PUSHED = Place("me/lora", "me/lora", "adapter", is_repository=True)
WHOLE = Place("me/whole", "me/whole", "whole", is_repository=True)


@pytest.fixture(scope="module")
def starter_job() -> Job:
    return assemble(RunConfig.parse({"task": "squad", "method": "lora"}))


@pytest.fixture(scope="module")
def labels_job(tmp_path_factory) -> Job:
    """A classifier on a tiny BERT in a folder, its rows in files, without a licence."""
    folder = tmp_path_factory.mktemp("base") / "tiny-bert"
    save_model(tiny("bert"), fast_tokenizer(), folder)
    data = {"train": "/home/me/train.tsv"}
    values = {"task": "cola", "model": str(folder), "method": "bitfit", "data": data}
    return assemble(RunConfig.parse(values))


@pytest.fixture
def hub_job(starter_job, tmp_path, monkeypatch) -> Job:
    """The same on a model of the hub, whose card lies in the hub's cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--google--flan-t5-small"
    snapshot = repository / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    (snapshot / "README.md").write_text("---\nlicense: mit\n---\n# Flan")
    changes = {"model": "google/flan-t5-small"}
    return replace(starter_job, config=starter_job.config.updated(changes))


def test_front_matter_of_a_run_on_the_hub(hub_job):
    data = ModelCard(model_card(hub_job, HERE, METRICS, FACTS)).data
    assert data.base_model == "google/flan-t5-small"
    assert data.datasets == ["rajpurkar/squad"]
    assert data.license == "mit"
    assert data.library_name == "peft"
    assert data.metrics == ["squad"]
    assert {"tensorflow", "lora"} <= set(data.tags)
    results = {result.metric_type: result for result in data.eval_results}
    assert set(results) == {"exact_match", "f1"}  # No interval, and nothing like NaN.
    best = results["exact_match"]
    assert best.metric_value == 75.12345
    assert (best.dataset_type, best.dataset_split) == ("rajpurkar/squad", "validation")
    assert best.task_type == "text2text-generation"


def test_a_person_reads_what_it_is_and_how_well_it_does(hub_job):
    card = model_card(hub_job, HERE, METRICS, FACTS)
    assert "| training rows | 87,599, rajpurkar/squad |" in card
    assert "| weights trained | 344,064 of 77,305,216 (0.45 %) |" in card
    assert "| time | 7,261 s, evaluations included |" in card
    assert "10,570 validation rows (rajpurkar/squad)." in card
    assert "| exact_match | 75.1235 |" in card
    assert "`question: {question} context: {context}`" in card
    assert 'PeftModel.from_pretrained(base, "runs/lora/adapter")' in card
    assert 'load_model("google/flan-t5-small")' in card
    assert "kerastune predict runs/lora " in card


def test_the_starter_is_called_a_toy_and_is_no_base_on_the_hub(starter_job):
    card = model_card(starter_job, HERE, {}, {})
    data = ModelCard(card).data
    assert data.base_model is None and data.datasets is None
    assert data.license == "apache-2.0"  # As its own card says.
    assert "bundled starter" in card.partition("## Limits")[2]
    assert "No validation rows were given." in card


def test_an_adapter_that_is_not_pefts_says_so(labels_job):
    card = model_card(labels_job, PUSHED, {"accuracy": 0.5}, FACTS)
    assert ModelCard(card).data.library_name == "kerastune_llm"
    assert "PEFT has no form for `bitfit`" in card
    assert 'load_adapter(model, snapshot_download("me/lora"))' in card
    assert "labels=['unacceptable', 'acceptable']" in card
    assert "held out of train.tsv" in card
    assert ModelCard(card).data.license is None


def test_a_whole_model_opens_in_pytorch_by_its_name(labels_job):
    card = model_card(labels_job, WHOLE, {"accuracy": 0.5}, FACTS)
    line = 'AutoModelForSequenceClassification.from_pretrained("me/whole")'
    assert line in card
    assert ModelCard(card).data.library_name == "transformers"


def test_no_folder_of_this_machine_is_told(labels_job):
    card = model_card(labels_job, WHOLE, {}, FACTS)
    assert str(Path(labels_job.config.model).parent) not in card
    assert "/home/me" not in card and '"train": "train.tsv"' in card
