"""Answers of several models to the same rows, side by side for people to read."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from kerastune_llm.commands.console import console, show_table
from kerastune_llm.commands.cut_text import cut_text
from kerastune_llm.commands.page import render_page

TEMPLATE = "show.html.jinja"


@dataclass(frozen=True)
class Reader:
    """One model's answers.

    Args:
        name: What it is called above its column.
        answers: One a row.
        scores: How good each is, the higher the better.
        note: What is to be known of all of them, in a sentence.
    """

    name: str
    answers: Sequence[str]
    scores: Sequence[float]
    note: str = ""

    @property
    def mean(self) -> float:
        """The mean of the scores."""
        return sum(self.scores) / len(self.scores)


@dataclass(frozen=True)
class ReadingTable:
    """Some rows, what people answered, and what models did.

    Args:
        task: Name of the task.
        measure: What a row's score is.
        ids: Of the rows.
        inputs: The texts that the first run's model was given.
        references: Accepted answers of each row.
        readers: The models.
        of_rows: How many rows these were chosen from.
    """

    task: str
    measure: str
    ids: Sequence[str]
    inputs: Sequence[str]
    references: Sequence[Sequence[str]]
    readers: Sequence[Reader]
    of_rows: int

    @property
    def title(self) -> str:
        """What is shown, in a line."""
        return f"{self.task}: {len(self.ids):,} of {self.of_rows:,} validation rows"

    @property
    def notes(self) -> list[str]:
        """What is to be known of the models' answers."""
        return [f"{r.name}: {r.note}" for r in self.readers if r.note]


def print_table(table: ReadingTable) -> None:
    """Print the rows one below the other, each with its answers side by side."""
    for place, row_id in enumerate(table.ids):
        console.print(f"row {row_id}", style="bold", markup=False)
        console.print(cut_text(table.inputs[place]), markup=False)
        answers = Table(show_edge=False, pad_edge=False)
        for name in ("reference", *(reader.name for reader in table.readers)):
            answers.add_column(Text(name), ratio=1, overflow="fold")
        given = [reader.answers[place] for reader in table.readers]
        cells = ["\n".join(table.references[place]), *given]
        answers.add_row(*(Text(cut_text(cell)) for cell in cells), end_section=True)
        scores = (f"{reader.scores[place]:.4g}" for reader in table.readers)
        answers.add_row(Text("score", style="dim"), *scores)
        console.print(answers)
        console.print()
    for note in table.notes:
        console.print(note, markup=False)
    means = [(reader.name, reader.mean) for reader in table.readers]
    console.print(f"{table.title}; score: {table.measure}", markup=False)
    show_table("", ["", "mean score"], means)


def as_csv(table: ReadingTable) -> str:
    """A row for each row, several references on lines of one cell; last the means."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [part for r in table.readers for part in (r.name, f"{r.name} score")]
    writer.writerow(["id", "input", "reference", *names])
    for place, row_id in enumerate(table.ids):
        cells = [
            cell
            for reader in table.readers
            for cell in (reader.answers[place], reader.scores[place])
        ]
        references = "\n".join(table.references[place])
        writer.writerow([row_id, table.inputs[place], references, *cells])
    means = [cell for reader in table.readers for cell in ("", reader.mean)]
    writer.writerow(["mean", "", "", *means])
    return text.getvalue()


def as_page(table: ReadingTable) -> str:
    """One HTML page that needs no other file."""
    return render_page(TEMPLATE, table=table)
