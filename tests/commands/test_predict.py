"""Answers in order and with scores, in files that go on where they were cut off."""

import csv
import io
import json
import signal
import sys

import pytest

from kerastune_llm.backend import tf
from kerastune_llm.cli import main
from kerastune_llm.commands.answer_file import AnswerFile, Origin
from kerastune_llm.models.loading import load_model, load_tokenizer

TEXTS = ["the nile", "a long river , which flows in egypt", "dogs bark"]


def kerastune(*words: object) -> int:
    return main([str(word) for word in words])


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.split("\n") if line]


def pipe(monkeypatch, text: str) -> None:
    content = io.TextIOWrapper(io.BytesIO(text.encode()))
    monkeypatch.setattr(sys, "stdin", content)


def test_answers_and_scores_are_the_models_own(classifier, tmp_path, monkeypatch):
    file = tmp_path / "rows.jsonl"
    rows = [{"id": f"r{n}", "text": text} for n, text in enumerate(TEXTS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = tmp_path / "new" / "answers.jsonl"
    assert kerastune("predict", classifier, "--input", file, "--output", answers) == 0

    model = load_model(classifier / "model", kind="classification")
    tokenizer = load_tokenizer(classifier / "model")
    found = json_lines(answers.read_text())
    assert [row["id"] for row in found] == ["r0", "r1", "r2"]
    for row, text in zip(found, TEXTS, strict=True):
        logits = model(dict(tokenizer([text], return_tensors="np"))).logits
        values = tf.nn.softmax(logits[0]).numpy()
        assert row["input"] == text
        assert row["prediction"] == model.config.id2label[int(values.argmax())]
        assert row["score"] == pytest.approx(values.max(), abs=1e-5)


def test_plain_text_from_a_pipe_to_a_pipe(classifier, capsys, monkeypatch):
    pipe(monkeypatch, "\n".join([*TEXTS[:2], "", TEXTS[2]]))
    assert kerastune("predict", classifier) == 0
    out, err = capsys.readouterr()
    assert [row["input"] for row in json_lines(out)] == TEXTS
    assert "standard input is read as plain text, one input a line" in err


@pytest.fixture
def ctrl_c_interrupts():
    """As in a terminal: what is started in the background ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_an_interrupted_file_goes_on(classifier, tmp_path, capsys, monkeypatch):
    file = tmp_path / "rows.txt"
    file.write_text("\n".join(TEXTS * 6))

    def command(name: str) -> list[object]:
        few = ("--evaluation.batch-size", 1)
        names = ("--input", file, "--output", tmp_path / name)
        return ["predict", classifier, *names, *few]

    assert kerastune(*command("whole.jsonl")) == 0
    with monkeypatch.context() as patched:
        append = AnswerFile.append

        def append_and_stop(self, records):
            append(self, records)
            signal.raise_signal(signal.SIGINT)

        patched.setattr(AnswerFile, "append", append_and_stop)
        capsys.readouterr()
        assert kerastune(*command("cut.jsonl")) == 130
    out = " ".join(capsys.readouterr().out.split())
    assert "interrupted: 8 of 18 rows are answered and kept; go on with" in out
    assert " ".join(map(str, ["kerastune", *command("cut.jsonl")])) in out

    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    kept = cut.read_bytes()
    assert kept.count(b"\n") == 8 and whole.read_bytes().startswith(kept)
    with cut.open("ab") as torn:
        torn.write(b'{"id": "8", "inp')
    assert kerastune(*command("cut.jsonl")) == 0
    assert "going on after 8 of 18 rows" in capsys.readouterr().out
    assert cut.read_bytes() == whole.read_bytes()

    assert kerastune(*command("cut.jsonl")) == 0
    assert "holds the answers of all these rows" in capsys.readouterr().out
    file.write_text("\n".join(TEXTS * 5))
    assert kerastune(*command("cut.jsonl")) == 2
    assert "holds the answers of other inputs" in capsys.readouterr().err
    assert cut.read_bytes() == whole.read_bytes()


def test_a_missing_field_is_named_with_its_row(classifier, tmp_path, capsys):
    file, answers = tmp_path / "rows.csv", tmp_path / "answers.csv"
    file.write_text("texts,stars\nthe nile,5\n")
    words = ("predict", classifier, "--input", file, "--output", answers)
    assert kerastune(*words) == 2
    message = capsys.readouterr().err
    assert "line 2, column 'text': the column is missing" in message
    assert "--task.columns text=texts" in message
    assert not answers.exists()

    assert kerastune(*words, "--task.columns", "text=texts") == 0
    with answers.open(newline="") as table:
        [row] = csv.DictReader(table)
    assert (row["id"], row["input"]) == ("0", "the nile")
    assert 0.5 <= float(row["score"]) <= 1


def test_a_terminal_is_not_waited_for(monkeypatch, capsys):
    pipe(monkeypatch, "")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert kerastune("predict", "run") == 2
    assert "no rows to answer" in capsys.readouterr().err


def test_scores_of_all_labels_are_columns_of_a_csv(tmp_path):
    origin = Origin(run="runs/one", inputs="i", model="m", rows=2)
    answers = AnswerFile(tmp_path / "answers.csv", origin)
    answers.append([{"id": "1", "prediction": "b", "scores": {"a": 0.1, "b": 0.9}}])
    answers.append([{"id": "2", "prediction": "", "scores": {"a": 0.2, "b": 0.3}}])
    assert (tmp_path / "answers.csv").read_text() == (
        "id,prediction,score a,score b\n1,b,0.1,0.9\n2,,0.2,0.3\n"
    )
