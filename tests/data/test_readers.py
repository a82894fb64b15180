"""Every form of file, and what is said about a broken one."""

import gzip
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from kerastune_llm.data.readers import read_file
from kerastune_llm.errors import UserError

ROWS = [{"q": "Où?", "a": 'the "Nile"'}, {"q": "Who, then?", "a": "Ann\tor\nBob"}]
FLAT = [{"q": "Où?", "a": '"the'}, {"q": "Who, then?", "a": "Ann"}]
SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "T",
            "paragraphs": [
                {
                    "context": "C",
                    "qas": [
                        {
                            "id": "1",
                            "question": "Q1",
                            "answers": [{"text": "C", "answer_start": 0}],
                            "is_impossible": False,
                        },
                        {
                            "id": "2",
                            "question": "Q2",
                            "answers": [],
                            "is_impossible": True,
                        },
                    ],
                }
            ],
        }
    ],
}

TEXTS = {
    "json": json.dumps(ROWS),
    "data.json": json.dumps({"data": ROWS}, indent=1),
    "lines.json": "\n".join(json.dumps(row) for row in ROWS),
    "jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n",
    "ndjson": "\r\n".join(json.dumps(row) for row in ROWS),
    "csv": 'q,a\nOù?,"the ""Nile"""\n"Who, then?","Ann\tor\nBob"\n',
}


def rows_of(path, **options):
    return [row for _, row in read_file(path, **options)]


def write(folder, name, content):
    path = folder / name
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("suffix", TEXTS)
def test_forms_of_text(tmp_path, suffix, packed):
    path = write(tmp_path, f"rows.{suffix}{packed}", TEXTS[suffix])
    assert rows_of(path) == ROWS


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_parquet(tmp_path, packed):
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), buffer)
    content = buffer.getvalue().to_pybytes()
    assert rows_of(write(tmp_path, f"rows.parquet{packed}", content)) == ROWS


def test_byte_order_mark(tmp_path):
    content = b"\xef\xbb\xbf" + TEXTS["csv"].encode()
    assert rows_of(write(tmp_path, "rows.csv", content)) == ROWS


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tsv_takes_quotes_as_they_are(tmp_path, end):
    text = end.join(["q\ta", 'Où?\t"the', "Who, then?\tAnn", ""])
    path = write(tmp_path, "rows.tsv", text)
    assert rows_of(path) == FLAT
    headless = write(tmp_path, "headless.tsv", text.partition(end)[2])
    options = {"tsv_columns": ("q", "a"), "wanted": ["q"]}
    assert rows_of(headless, **options) == FLAT
    assert rows_of(path, **options) == FLAT


def test_tsv_lines_end_at_line_feeds_only(tmp_path):
    path = write(tmp_path, "rows.tsv", "q\ta\none\u2028two\x85\x0c\tx\n")
    assert rows_of(path) == [{"q": "one\u2028two\x85\x0c", "a": "x"}]


def test_squad_json(tmp_path):
    path = write(tmp_path, "squad.json", json.dumps(SQUAD))
    placed = list(read_file(path))
    assert placed[0] == (
        "data[0].paragraphs[0].qas[0]",
        {
            "id": "1",
            "title": "T",
            "context": "C",
            "question": "Q1",
            "answers": {"text": ["C"], "answer_start": [0]},
        },
    )
    assert placed[1][1]["answers"] == {"text": [], "answer_start": []}


def test_places_are_lines_of_the_file(tmp_path):
    path = write(tmp_path, "rows.csv", 'q,a\n\n"two\nlines",1\nx,2\n')
    assert [place for place, _ in read_file(path)] == ["line 3", "line 5"]


BROKEN_SQUAD = json.dumps(SQUAD).replace('"context": "C"', '"context": 3')
REFUSALS = {
    "empty": ("rows.json", b"", "is empty"),
    "not utf-8": (
        "rows.jsonl",
        b'{"q": "a"}\n{"q": "caf\xe9"}\n',
        r"line 2: not UTF-8 text \(byte 0xe9 at offset 21\)",
    ),
    "not utf-8, packed": ("rows.tsv.gz", b"q\ta\nx\t\xff\n", "line 2: not UTF-8"),
    "utf-16": ("rows.csv", "q,a\nx,y\n".encode("utf-16"), "line 1: not UTF-8"),
    "malformed json": ("rows.json", '[{"q": 1},\n {"q" 2}]', "line 2, column 7: malf"),
    "cut off json": ("rows.json", '[{"q": 1},', "line 1, column 11: malformed json"),
    "malformed line": ("rows.jsonl", '{"q": 1}\n{"q": }\n', "line 2, column 7: malf"),
    "json without rows": ("rows.json", '{"rows": []}', "holds no rows"),
    "an object on several lines": ("r.jsonl", '{\n "q": 1\n}\n', r"jq -c \. \S+/r\.js"),
    "a number for a row": ("rows.jsonl", '{"q": 1}\n7\n', "line 2: not a json object"),
    "a list for a row": ("rows.json", '[{"q": 1}, [2]]', "row 2: not a json object"),
    "too many fields": ("rows.tsv", "q\ta\n1\t2\n1\t2\t3\n", "line 3: wrong number"),
    "too few fields": ("rows.csv", "q,a\n1\n", "line 2: wrong number of fields"),
    "an open quote": ("rows.csv", 'q,a\n1,2\n"1,2\n3,4\n', "line 3: malformed csv"),
    "a doubled column": ("rows.csv", "q,a,q\n1,2,3\n", "names a column twice"),
    "no parquet": ("rows.parquet", b"q,a\n1,2\n", "not a parquet file"),
    "squad without context": (
        "s.json",
        BROKEN_SQUAD,
        r"data\[0\].paragraphs\[0\]: 'co",
    ),
    "unknown form": ("rows.xlsx", b"x", "not known from its name"),
    "a spreadsheet": ("rows.xlsx", b"PK", "save a spreadsheet as csv, UTF-8"),
    "a comma too many": ("rows.csv", "q,a\n1, 2,3\n", "quotes around a field with"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(tmp_path, case):
    name, content, message = REFUSALS[case]
    path = write(tmp_path, name, content)
    with pytest.raises(UserError, match=message) as caught:
        rows_of(path)
    assert str(path) in str(caught.value)


def test_columns_instead_of_rows(tmp_path):
    path = write(tmp_path, "rows.json", '{"q": ["x"], "a": ["y"]}')
    with pytest.raises(UserError, match="an object with q, a") as caught:
        rows_of(path)
    assert 'to_json("rows.jsonl", orient="records", lines=True)' in str(caught.value)


@pytest.mark.parametrize("sign", [";", "\t"])
def test_a_csv_of_a_spreadsheet(tmp_path, sign, caplog):
    lines = [sign.join(fields) for fields in (["q", "a"], ["Who, then?", "Ann"])]
    path = write(tmp_path, "rows.csv", b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    with caplog.at_level("INFO", "kerastune_llm"):
        assert rows_of(path) == [{"q": "Who, then?", "a": "Ann"}]
    assert f"{sign!r} parts its fields" in caplog.text


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("rows.csv", "cp1252"), ("rows.csv.gz", "cp1252"), ("my rows.csv", "utf-16")],
)
def test_the_command_that_mends_an_encoding(tmp_path, name, encoding):
    path = write(tmp_path, name, "q,a\nOù est-il?,Löwe\n".encode(encoding))
    with pytest.raises(UserError, match="not UTF-8") as caught:
        rows_of(path)
    command = str(caught.value).partition("To mend it: ")[2].partition(", with")[0]
    subprocess.run(command, shell=True, check=True)
    (mended,) = tmp_path.glob("*-utf8.csv")
    assert rows_of(mended) == [{"q": "Où est-il?", "a": "Löwe"}]


def test_damaged_gz(tmp_path):
    path = write(tmp_path, "rows.jsonl.gz", TEXTS["jsonl"])
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match="gz file is damaged"):
        rows_of(path)


def test_gz_that_is_none(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_text(TEXTS["jsonl"], encoding="utf-8")
    with pytest.raises(UserError, match="gz file is damaged"):
        rows_of(path)


def test_damaged_parquet(tmp_path):
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS * 100), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="damaged"):
        rows_of(path)


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "train.jsonl").write_text("{}", encoding="utf-8")
    expected = re.escape(f"Did you mean {tmp_path / 'train.jsonl'}?")
    with pytest.raises(UserError, match=expected):
        rows_of(tmp_path / "trian.jsonl")


def run_mend(error: UserError, folder: Path) -> None:
    """Run the command that an error ends with, as it stands."""
    command = str(error).partition("python -c ")[2]
    python = shlex.quote(sys.executable)
    subprocess.run(f"{python} -c {command}", shell=True, check=True, cwd=folder)


def test_rows_under_a_name_are_written_by_the_command_of_the_message(tmp_path):
    path = write(tmp_path, "my rows.json", '{"v": 1, "items": [{"q": "a"}]}')
    with pytest.raises(UserError, match="holds no rows") as error:
        rows_of(path)
    run_mend(error.value, tmp_path)
    assert rows_of(tmp_path / "rows.json") == [{"q": "a"}]


def test_a_folder_of_texts_becomes_rows_by_the_command_of_the_message(tmp_path):
    for label, text in (("bad", "no,\nno"), ("good", "yes")):
        (tmp_path / "texts" / label).mkdir(parents=True)
        write(tmp_path / "texts" / label, "1.txt", text)
    with pytest.raises(UserError, match="texts with bad, good") as error:
        rows_of(tmp_path / "texts")
    run_mend(error.value, tmp_path)
    assert rows_of(tmp_path / "rows.csv") == [
        {"text": "no,\nno", "label": "bad"},
        {"text": "yes", "label": "good"},
    ]


def test_a_folder(tmp_path):
    folder = tmp_path / "rows.json"
    folder.mkdir()
    with pytest.raises(UserError, match="A folder was given"):
        rows_of(folder)
