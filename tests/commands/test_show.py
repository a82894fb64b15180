"""The reading table: whose answers, to which rows, with which scores."""

import csv
import json
import shutil
from collections import Counter

import numpy as np
import pytest

from kerastune_llm.cli import main
from kerastune_llm.commands.reading_table import Reader, ReadingTable, as_page
from kerastune_llm.commands.show import show
from kerastune_llm.errors import UserError
from kerastune_llm.models.loading import load_model, load_tokenizer


def records_of(run) -> list[dict]:
    content = (run / "predictions/validation.jsonl").read_bytes()
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def kerastune(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def other(classifier, tmp_path):
    """The same run as if it had been validated on other rows."""
    folder = shutil.copytree(classifier, tmp_path / "other")
    changed = [{**row, "id": f"other-{row['id']}"} for row in records_of(classifier)]
    text = "".join(json.dumps(row) + "\n" for row in changed)
    (folder / "predictions/validation.jsonl").write_text(text)
    return folder


def test_references_the_untuned_model_and_runs_side_by_side(classifier, other, capsys):
    table = show([classifier, other], rows=3)
    known = {record["id"]: record for record in records_of(classifier)}
    untuned, run, again = table.readers
    assert [reader.name for reader in table.readers] == ["untuned", "run", "other"]
    assert len(table.ids) == 3 and table.of_rows == len(known) == 4
    for place, row_id in enumerate(table.ids):
        record = known[row_id]
        assert table.inputs[place] == record["input"]
        assert table.references[place] == record["references"]
        assert run.answers[place] == record["prediction"]
        # Its model is the same one, and answers again where it has no answer.
        assert again.answers[place] == record["prediction"]
        right = record["references"] == [untuned.answers[place]]
        assert untuned.scores[place] == float(right)
    assert run.mean == pytest.approx(np.mean(run.scores))
    out = capsys.readouterr().out
    assert "untuned: not trained yet are classifier.bias, classifier.weight" in out
    assert sum(x.split()[:1] == ["reference"] for x in out.split("\n")) == 3
    assert "custom: 3 of 4 validation rows" in out


def test_the_untuned_models_answers_are_its_own(classifier):
    table = show([classifier], rows=4)
    seed = json.loads((classifier / "config.json").read_text())["runtime"]["seed"]
    base = classifier.parent / "bert"
    options = {"kind": "classification", "labels": ("one", "two"), "seed": seed}
    model, tokenizer = load_model(base, **options), load_tokenizer(base)
    for text, answer in zip(table.inputs, table.readers[0].answers, strict=True):
        logits = model(dict(tokenizer([text], return_tensors="np"))).logits
        assert answer == model.config.id2label[int(np.argmax(logits))]


def test_a_csv_ends_with_the_means(classifier, tmp_path):
    file = tmp_path / "table.csv"
    words = ("show", classifier, "--no-untuned", "--output", file, "--rows", 99)
    assert kerastune(*words) == 0
    with file.open(newline="") as text:
        *rows, means = csv.DictReader(text)
    records = records_of(classifier)
    assert [row["id"] for row in rows] == [record["id"] for record in records]
    assert Counter(row["run"] for row in rows) == Counter(
        record["prediction"] for record in records
    )
    mean = np.mean([record["score"] for record in records])
    assert means["id"] == "mean" and float(means["run score"]) == pytest.approx(mean)


def test_a_page_shows_texts_and_not_their_markup():
    table = ReadingTable(
        task="t",
        measure="rouge1",
        ids=["7"],
        inputs=["<b>Why?</b>\n&amp;"],
        references=[["<i>", "So"]],
        readers=[Reader("run", ["<script>"], [12.5]), Reader("x", [""], [0.0], "odd")],
        of_rows=9,
    )
    page = as_page(table)
    assert "&lt;b&gt;Why?&lt;/b&gt;\n&amp;amp;" in page
    assert "&lt;script&gt;" in page and "<script" not in page
    assert "12.5" in page and "no text" in page and "x: odd" in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rows", "0"], "--rows must be positive. Received: 0"),
        (["--output", "page.pdf"], "a name that ends in .html, .csv"),
        (["absent"], "no run in this folder"),
    ],
)
def test_what_is_refused(classifier, words, message, capsys):
    assert kerastune("show", classifier, *words) == 2
    assert message in capsys.readouterr().err


def test_runs_that_do_not_compare_are_refused(classifier, other):
    config = json.loads((other / "config.json").read_text())
    config["task"]["labels"] = ["two", "one"]
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="different tasks, or have different labels"):
        show([classifier, other])


def test_rows_that_are_no_longer_there_are_not_answered(other):
    with pytest.raises(UserError, match="no longer those that the run was scored on"):
        show([other])
    (other / "predictions/validation.jsonl").unlink()
    with pytest.raises(UserError, match="had no validation rows"):
        show([other])
