"""What `kerastune data` says of rows, and the rows it writes."""

import json

import pytest

from kerastune_llm.cli import main
from kerastune_llm.commands.job import assemble
from kerastune_llm.commands.splits import training_and_validation
from kerastune_llm.config import RunConfig
from tests.commands.runs import tiny_job

WORDS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "dogs",
    "bark",
    "nile",
    "river",
    "flows",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny encoder, and rows of which a third are spam; 2 of 3 are in both splits."""
    folder = tmp_path_factory.mktemp("data")
    tiny_job(folder)
    rows = [
        f"{' '.join(WORDS[: 1 + n % 10])} {n},{'spam' if n % 3 == 0 else 'ham'}"
        for n in range(30)
    ]
    rows[1] = rows[2] = "dogs bark,ham"
    (folder / "train.csv").write_text("\n".join(["text,kind", *rows]) + "\n")
    (folder / "dev.csv").write_text("text,kind\ndogs bark,ham\nnew,spam\none 0,spam\n")
    return folder


def describe(folder, *more: object) -> int:
    task = ["custom", "--task.input-template", "{text}", "--task.label-column", "kind"]
    files = ["--data.train", folder / "train.csv"]
    model = ["--model", folder / "bert", "--plot", folder / "lengths.png"]
    return main([str(word) for word in ("data", *task, *files, *model, *more)])


def cells(out: str, first: str) -> list[str]:
    """The cells of the one table row whose first cell is `first`."""
    rows = [[cell.strip() for cell in x.split("│")[1:-1]] for x in out.split("\n")]
    [found] = [row for row in rows if row and row[0] == first]
    return found


def test_what_is_said_of_labelled_rows(folder, capsys):
    dev = ["--data.validation", folder / "dev.csv", "--data.max-input-tokens", 8]
    assert describe(folder, *dev) == 0
    out = capsys.readouterr().out
    assert cells(out, "text")[1:3] == ["text", "29"]
    assert cells(out, "ham") == ["ham", "20", "66.7%", "1", "33.3%"]
    assert cells(out, "spam") == ["spam", "10", "33.3%", "2", "66.7%"]
    # [CLS], the words (a number is one) and [SEP]: n % 10 + 4 of them, but for two.
    lengths = sorted([n % 10 + 4 for n in range(30) if n not in (1, 2)] + [4, 4])
    row = cells(out, "training inputs")
    ranks = [lengths[index] for index in (14, 26, 28, 29, 29)]
    assert row[1:6] == [str(number) for number in ranks]
    assert row[6:] == ["8", str(sum(length > 8 for length in lengths))]
    assert "1 of 30 training rows repeat an input before them" in out
    assert "2 of 3 validation rows have an input that a training row has" in out
    assert out.count("  target: ") == 3
    assert (folder / "lengths.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_written_rows_are_read_again(folder, tmp_path, capsys, form):
    file = tmp_path / f"rows.{form}"
    made = ["--data.augment", "dropout", "--output", file]
    assert describe(folder, *made) == 0
    assert f"--data.train {file}" in capsys.readouterr().out
    read = {"train": str(file), "validation_fraction": 0.0}
    task = {"name": "custom", "input_template": "{text}", "label_column": "kind"}
    config = {"task": task, "model": str(folder / "bert"), "data": read}
    again = training_and_validation(assemble(RunConfig.parse(config)))[1]
    assert len(again) > 27 and set(again["label"]) == {0, 1}
    data = {"train": str(folder / "train.csv"), "augment": ["dropout"]}
    first = {**config, "data": data}
    assert again[:] == training_and_validation(assemble(RunConfig.parse(first)))[1][:]


def test_an_output_that_is_there_is_left_alone(folder, capsys):
    before = (folder / "train.csv").read_bytes()
    assert describe(folder, "--output", folder / "train.csv") == 2
    assert "The file is there already" in capsys.readouterr().err
    assert (folder / "train.csv").read_bytes() == before
    assert describe(folder, "--output", folder / "rows.xml") == 2
    assert "ends in .jsonl, .csv, .parquet" in capsys.readouterr().err
    assert describe(folder, "--data.streaming") == 2
    assert "needs all of them at once" in capsys.readouterr().err


def test_rows_of_texts_from_the_starters_tokenizer(tmp_path, capsys):
    file = tmp_path / "rows.jsonl"
    few = "--data.max-train-samples 20 --data.max-validation-samples 5"
    plot = f"--plot {tmp_path / 'lengths.png'}"
    window = "--data.long-context window --data.max-input-tokens 90"
    command = f"data squad {few} {plot} {window} --output {file}"
    assert main(command.split()) == 0
    out = capsys.readouterr().out
    assert cells(out, "training targets")[-2:] == ["32", "0"]
    assert "lengths in tokens of starter" in out
    assert "rows are shown whole, before their windows are cut" in out
    rows = [json.loads(line) for line in file.read_text().split("\n")[:-1]]
    assert len(rows) == 20
    row = rows[0]
    assert set(row) == {"id", "title", "question", "context", "answers"}
    assert row["answers"][0] in row["context"]


def test_training_warns_of_rows_in_both_splits(classifier):
    log = (classifier / "log.txt").read_text()
    warning = "2 of 4 validation rows have an input that a training row has, too"
    assert log.count(warning) == 1
