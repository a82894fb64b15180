"""`kerastune show`: validation rows as people and as models answered them."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets

from kerastune_llm.commands.console import console, logging_to, progress
from kerastune_llm.commands.finished_run import load_scorer, load_untuned, open_run
from kerastune_llm.commands.job import Job, assemble
from kerastune_llm.commands.output_file import check_form, writing
from kerastune_llm.commands.reading_table import (
    Reader,
    ReadingTable,
    as_csv,
    as_page,
    print_table,
)
from kerastune_llm.commands.report_runs import ReportedRun, read_runs
from kerastune_llm.commands.splits import tokenise_rows, validation_rows
from kerastune_llm.data.subsets import random_places
from kerastune_llm.errors import UserError
from kerastune_llm.models.load_report import shown
from kerastune_llm.remote import as_place, here
from kerastune_llm.rundir import write_text
from kerastune_llm.tasks.metric_kinds import metric_keys
from kerastune_llm.training.scoring import Scorer

FORMS = ("html", "csv")
ROWS = 10
UNTUNED = "untuned"
UNTRAINED = "not trained yet are {}: its answers are a matter of chance"
FROM_SCRATCH = "its weights are random: the run began from scratch"
# What `row_score` says of one row of tasks whose metrics need many.
MEASURES = {
    "classification": "1 where right, else 0",
    "multilabel": "F1 of the labels",
    "regression": "minus the distance from the number",
}

Record = Mapping[str, Any]
Key = tuple[str, tuple[str, ...]]


def show(
    runs: Sequence[str | Path],
    *,
    rows: int = ROWS,
    output: str | Path | None = None,
    untuned: bool = True,
) -> ReadingTable:
    """Put validation rows, the references and models' answers side by side.

    The rows are drawn by the first run's seed. The runs' own answers are those in their
    `predictions/`; a run that was not validated on these rows answers them now, and so
    does the model that the first run began with.

    Args:
        runs: Run directories of one task.
        rows: How many validation rows.
        output: A csv file or an HTML page, instead of the console.
        untuned: Whether the untuned model answers, too.

    Raises:
        UserError: A folder is no finished run, the runs are of different tasks, or the
            validation rows are no longer there.
    """
    if rows < 1:
        raise UserError("--rows must be positive.", received=rows)
    form = None
    if output is not None:
        form = check_form(here(output), FORMS, "Answers")
    with logging_to(None):
        found = read_runs([as_place(run) for run in runs])
        _check_comparable(found)
        chosen = _Chosen(found[0], rows)
        readers = [_untuned(chosen)] if untuned else []
        readers += [_answers_of(run, chosen) for run in found]
        table = ReadingTable(
            task=found[0].config.task.name,
            measure=_measure(found[0]),
            ids=[str(record["id"]) for record in chosen.records],
            inputs=[record["input"] for record in chosen.records],
            references=[record["references"] for record in chosen.records],
            readers=readers,
            of_rows=len(found[0].records),
        )
        if output is None:
            print_table(table)
            return table
        with writing(Path(output)):
            text = as_csv(table) if form == "csv" else as_page(table)
            write_text(Path(output), text)
        console.print(f"wrote {output}: {len(table.ids):,} rows", markup=False)
    return table


class _Chosen:
    """The rows that are shown.

    Args:
        run: The run whose validation rows they are.
        count: How many, at most.

    Raises:
        UserError: The run had no validation rows.
    """

    def __init__(self, run: ReportedRun, count: int) -> None:
        if not run.records:
            raise UserError(
                "This run has no answers to show: it had no validation rows.",
                received=str(run.path),
                mend="train with --data.validation FILE",
            )
        self.run = run
        seed = run.config.runtime.seed
        self.places = random_places(len(run.records), count, seed=seed)
        self.records: list[Record] = [run.records[place] for place in self.places]

    @cached_property
    def rows(self) -> datasets.Dataset:
        """The rows themselves, which only models that answer now need.

        Raises:
            UserError: They are no longer what the run was validated on.
        """
        _, job = open_run(self.run.path)
        rows = validation_rows(job)
        ids = list(rows["id"])
        known = [str(record["id"]) for record in self.run.records]
        if ids != known:
            raise UserError(
                "The validation rows are no longer those that the run was scored on.",
                received=f"{len(ids):,} rows, in {self.run.path} {len(known):,}",
                mend="put the data back; --no-untuned shows what runs have answered",
            )
        return rows.select(self.places)


def _check_comparable(runs: Sequence[ReportedRun]) -> None:
    """Refuse runs whose answers are not to the same question."""
    first = runs[0]
    for run in runs[1:]:
        same = (run.config.task.name, run.task.kind, run.task.labels) == (
            first.config.task.name,
            first.task.kind,
            first.task.labels,
        )
        if not same:
            raise UserError(
                "The runs are of different tasks, or have different labels.",
                received=f"{first.path}: {first.config.task.name}; "
                f"{run.path}: {run.config.task.name}",
            )


def _answers_of(run: ReportedRun, chosen: _Chosen) -> Reader:
    """A run's answers to the chosen rows: those it gave, else those it gives now."""
    known = {_key(record): record for record in run.records}
    keys = [_key(record) for record in chosen.records]
    if run is chosen.run:
        records = chosen.records
    elif all(key in known for key in keys):
        records = [known[key] for key in keys]
    else:
        run_dir, job = open_run(run.path)
        records = _answer(run.name, load_scorer(run_dir, job), job, chosen)
    return _reader(run.name, records)


def _untuned(chosen: _Chosen) -> Reader:
    """The answers of the model that the first run began with."""
    config = chosen.run.config
    job = assemble(config)
    scorer, report = load_untuned(job)
    note = UNTRAINED.format(shown(sorted(report.new))) if report.new else ""
    records = _answer(UNTUNED, scorer, job, chosen)
    return _reader(UNTUNED, records, FROM_SCRATCH if config.from_scratch else note)


def _answer(name: str, scorer: Scorer, job: Job, chosen: _Chosen) -> list[Record]:
    split = tokenise_rows(job, chosen.rows)
    with progress(f"answers of {name}") as on_batch:
        return scorer.score(split.rows, split.tokenised, on_batch).records


def _reader(name: str, records: Sequence[Record], note: str = "") -> Reader:
    return Reader(
        name,
        answers=[record["prediction"] for record in records],
        scores=[record["score"] for record in records],
        note=note,
    )


def _key(record: Record) -> Key:
    return str(record["id"]), tuple(record["references"])


def _measure(run: ReportedRun) -> str:
    if run.task.members:
        return "score by each task's first metric"
    return MEASURES.get(run.task.kind) or metric_keys(run.task)[0]
