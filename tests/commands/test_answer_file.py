"""What an output file takes up, and what it leaves alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from kerastune_llm.commands.answer_file import AnswerFile, Origin
from kerastune_llm.commands.output_file import check_form
from kerastune_llm.errors import UserError

ORIGIN = Origin(run="runs/one", inputs="i", model="m", rows=3)
ROWS = [
    {"id": "1", "text": 'a\n"b"'},
    {"id": "2", "text": "c"},
    {"id": "3", "text": ""},
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_cut_off_row_is_written_again(tmp_path, name):
    whole = AnswerFile(tmp_path / f"whole-{name}", ORIGIN)
    whole.append(ROWS[:2])
    whole.append(ROWS[2:])
    AnswerFile(tmp_path / name, ORIGIN).append(ROWS[:2])
    with (tmp_path / name).open("a") as file:
        file.write('3,"')
    again = AnswerFile(tmp_path / name, ORIGIN)
    assert again.answered == 2
    again.append(ROWS[2:])
    assert (tmp_path / name).read_bytes() == whole.path.read_bytes()


def test_a_file_cut_off_in_its_first_rows_begins_again(tmp_path, monkeypatch):
    answers = AnswerFile(tmp_path / "a.csv", ORIGIN)
    with monkeypatch.context() as patched, pytest.raises(KeyError):
        patched.setattr(AnswerFile, "_write_record", _write_and_end)
        answers.append(ROWS)
    (tmp_path / "a.csv").write_text("id,te")
    again = AnswerFile(tmp_path / "a.csv", ORIGIN)
    assert again.answered == 0
    again.append(ROWS[1:2])
    assert (tmp_path / "a.csv").read_text() == "id,text\n2,c\n"


WRITE = AnswerFile._write_record


def _write_and_end(answers: AnswerFile) -> None:
    WRITE(answers)
    raise KeyError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": "x"}, r"holds the answers of other inputs \(runs/one\)"),
        ({"model": "x"}, "holds the answers of another model"),
    ],
)
def test_answers_of_something_else_are_left_alone(tmp_path, changes, message):
    AnswerFile(tmp_path / "a.jsonl", ORIGIN).append(ROWS)
    before = (tmp_path / "a.jsonl").read_bytes()
    with pytest.raises(UserError, match=message):
        AnswerFile(tmp_path / "a.jsonl", replace(ORIGIN, **changes))
    assert (tmp_path / "a.jsonl").read_bytes() == before


def test_a_changed_file_and_a_foreign_one_are_left_alone(tmp_path):
    AnswerFile(tmp_path / "a.jsonl", ORIGIN).append(ROWS)
    text = (tmp_path / "a.jsonl").read_text()
    (tmp_path / "a.jsonl").write_text(text.replace("c", "d"))
    with pytest.raises(UserError, match="was changed after it was written"):
        AnswerFile(tmp_path / "a.jsonl", ORIGIN)
    (tmp_path / "b.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="something else than answers begun here"):
        AnswerFile(tmp_path / "b.jsonl", ORIGIN)
    assert (tmp_path / "b.jsonl").read_text() == "{}\n"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="The file cannot be written: "):
        AnswerFile(tmp_path / "file" / "a.jsonl", ORIGIN)


def test_nothing_is_left_where_nothing_was_answered(tmp_path):
    AnswerFile(tmp_path / "a.jsonl", ORIGIN)
    assert list(tmp_path.iterdir()) == []


def test_forms_of_output(tmp_path):
    assert check_form(Path("a.CSV"), ["jsonl", "csv"], "Answers") == "csv"
    with pytest.raises(UserError, match=r"ends in \.jsonl, \.csv\n  Received: a\.xml"):
        check_form(Path("a.xml"), ["jsonl", "csv"], "Answers")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match="this is a folder"):
        check_form(tmp_path / "folder.csv", ["jsonl", "csv"], "Answers")
