"""Rows to be answered: each form, told by name, by content or by `--form`."""

import io
import json
import sys

import pyarrow
import pyarrow.parquet
import pytest

from kerastune_llm.data.inputs import guess_form, read_inputs
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.custom import configure_task, custom
from kerastune_llm.tasks.task import get_task

QUESTIONS = ["Où?", "Who, then?"]
ROWS = [{"q": question} for question in QUESTIONS]
TASK = configure_task(custom(), input_template="ask: {q}", target_template="{a}")
CONTENT = {
    "json": json.dumps(ROWS, indent=1),
    "jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "csv": 'id,q\n7,Où?\n8,"Who, then?"\n',
    "tsv": "q\tother\nOù?\t1\nWho, then?\t2\n",
    "text": "Où?\r\n\n  \nWho, then?",
}


def piped(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("form", CONTENT)
def test_each_form_from_a_pipe_and_from_a_file(form, monkeypatch, tmp_path):
    content = CONTENT[form].encode()
    piped(monkeypatch, content)
    assert read_inputs(TASK)["q"][:] == QUESTIONS
    file = tmp_path / f"rows.{'txt' if form == 'text' else form}"
    file.write_bytes(content)
    assert read_inputs(TASK, file)["q"][:] == QUESTIONS
    file.rename(tmp_path / "rows")
    assert read_inputs(TASK, tmp_path / "rows", form=form)["q"][:] == QUESTIONS


def test_parquet_from_a_pipe(monkeypatch):
    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), content)
    piped(monkeypatch, content.getvalue())
    assert read_inputs(TASK)["q"][:] == QUESTIONS


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b'\xef\xbb\xbf{"q": 1}\n{"q": 2}', "jsonl"),
        (b'{\n "data": [', "json"),
        (b"[sic] a sentence", "text"),
        (b"a,b,c", "text"),
        (b"Why?", "text"),
    ],
)
def test_a_form_by_its_beginning(head, form):
    assert guess_form(head, ["q"]) == form


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "There are no rows on standard input"),
        ("\n \n", "There are no rows in standard input"),
        ('{"q": "a"}\n{"x": "b"}', "standard input, line 2, column 'q': .*missing"),
        ('{"q": "a"}\n{"x"', "standard input, line 2, column 5: malformed json"),
        ('{"q": null}\n', "standard input, line 1, column 'q': the value is null"),
    ],
)
def test_what_is_wrong_with_piped_rows(content, message, monkeypatch):
    piped(monkeypatch, content.encode())
    with pytest.raises(UserError, match=message):
        read_inputs(TASK)


def test_a_task_of_two_fields_takes_no_plain_text(monkeypatch):
    piped(monkeypatch, b"Who lives in Oslo?")
    with pytest.raises(UserError, match="squad needs 2: question, context"):
        read_inputs(get_task("squad"))


def test_a_name_without_a_form_asks_for_it(tmp_path):
    (tmp_path / "rows.dat").write_text("Why?")
    with pytest.raises(UserError, match="--form json|jsonl"):
        read_inputs(TASK, tmp_path / "rows.dat")
    with pytest.raises(UserError, match="Did you mean jsonl"):
        read_inputs(TASK, tmp_path / "rows.dat", form="jsonlines")
