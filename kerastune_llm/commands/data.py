"""`kerastune data`: what a task's rows are like, before anything is trained on them."""

import shlex
from pathlib import Path

from kerastune_llm.commands.console import console, logging_to, show_table
from kerastune_llm.commands.cut_text import cut_text
from kerastune_llm.commands.job import Job, assemble
from kerastune_llm.commands.output_file import check_form, check_new, writing
from kerastune_llm.commands.row_file import FORMS, write_rows
from kerastune_llm.commands.splits import (
    Split,
    load_splits,
    say_duplicates,
    say_truncation,
)
from kerastune_llm.config import RunConfig
from kerastune_llm.data.description import (
    PERCENTILES,
    Lengths,
    describe_columns,
    full_lengths,
    label_counts,
    length_row,
    number_row,
    target_row,
)
from kerastune_llm.data.duplicates import count_repeated
from kerastune_llm.data.raw_rows import reading_flags
from kerastune_llm.data.render import render_targets, show_inputs
from kerastune_llm.data.subsets import subset
from kerastune_llm.errors import UserError
from kerastune_llm.training.data_plots import plot_token_lengths

EXAMPLES = 3
MOST_LABELS = 20
PLOT = Path("runs")

Splits = dict[str, Split]


def describe_data(
    config: RunConfig, *, output: Path | None = None, plot: Path | None = None
) -> Path:
    """Say what the rows of a run would be like, and draw their lengths.

    Columns, labels, lengths in the model's tokens, what is cut, what occurs twice, and
    three rows as the model is given them. No model is loaded, only its tokenizer.

    Args:
        config: As for `train`.
        output: File for the training rows, the augmented ones too, to be trained on as
            `--data.train`: jsonl, csv or parquet.
        plot: The png with the histogram of lengths; default: one under `runs/`.

    Returns:
        The png.

    Raises:
        UserError: Something is wrong with the rows, or a file cannot be written.
    """
    plot = plot or PLOT / f"{config.task.name}-lengths.png"
    check_form(plot, ("png",), "Pictures", flag="--plot")
    if output is not None:
        check_form(output, FORMS, "Rows")
        check_new(output)
    if config.data.streaming:
        raise UserError(
            "What is said of rows needs all of them at once, and a stream has a few.",
            received="--data.streaming",
            mend="leave it out, with a part of the file if need be",
        )
    with logging_to(None):
        if config.data.long_context == "window":
            config = config.updated({"data": {"long_context": "truncate"}})
            console.print("rows are shown whole, before their windows are cut")
        job, training, validation = load_splits(assemble(config))
        splits = {"training": training}
        if validation is not None:
            splits["validation"] = validation
        _show_columns(training)
        _show_answers(job, splits)
        lengths = {name: _lengths(job, split) for name, split in splits.items()}
        _show_lengths(job, lengths)
        for name, split in splits.items():
            say_truncation(name, split)
        _say_repeated(job, splits)
        _show_examples(job, training)
        with writing(plot, flag="--plot"):
            _plot(job, lengths, plot)
        console.print(f"wrote {plot}", markup=False)
        if output is not None:
            write_rows(output, job.task, training.rows)
            _say_written(job, output, len(training.rows))
    return plot


def _show_columns(split: Split) -> None:
    columns = [
        (name, kind, distinct, cut_text(" ".join(first.split()), 40))
        for name, kind, distinct, first in describe_columns(split.rows)
    ]
    show_table(
        "columns of the training rows",
        ["column", "type", "different", "first row"],
        columns,
    )


def _show_answers(job: Job, splits: Splits) -> None:
    """The balance of labels, the spread of numbers, or how many texts there are."""
    task = job.task
    if task.kind == "regression":
        table = [[name, *number_row(split.rows)] for name, split in splits.items()]
        show_table("label", ["rows", "lowest", "mean", "median", "highest"], table)
    elif task.has_labels:
        _show_labels(job, splits)
    else:
        columns = ["rows", "different targets", "empty", "with several references"]
        table = [[name, *target_row(split.rows)] for name, split in splits.items()]
        show_table("targets", columns, table)


def _show_labels(job: Job, splits: Splits) -> None:
    counts = {
        name: label_counts(job.task, split.rows) for name, split in splits.items()
    }
    names = [name for name, _ in counts["training"].most_common()]
    table = [
        [name]
        + [
            cell
            for split, found in counts.items()
            for cell in (found[name], f"{found[name] / len(splits[split].rows):.1%}")
        ]
        for name in names[:MOST_LABELS]
    ]
    columns = [part for name in splits for part in (name, "of rows")]
    show_table("labels", ["label", *columns], table)
    if len(names) > MOST_LABELS:
        console.print(f"and {len(names) - MOST_LABELS} rarer labels")


def _lengths(job: Job, split: Split) -> Lengths:
    return full_lengths(
        split.rows,
        split.tokenised,
        task=job.task,
        tokenizer=job.tokenizer,
        as_text=job.as_text,
        max_input_tokens=job.max_input_tokens,
        max_target_tokens=job.max_target_tokens,
    )


def _show_lengths(job: Job, lengths: dict[str, Lengths]) -> None:
    limits = job.max_input_tokens, job.max_target_tokens
    table = []
    for split, found in lengths.items():
        for name, tokens, limit in zip(
            ("inputs", "targets"), (found.inputs, found.targets), limits, strict=True
        ):
            if tokens is not None:
                row = [f"{split} {name}", *length_row(tokens), limit]
                table.append([*row, int((tokens > limit).sum())])
    columns = [*(f"{share} %" for share in PERCENTILES), "longest", "cut at", "cut"]
    title = f"lengths in tokens of {job.config.model}: so many rows are no longer"
    show_table(title, ["", *columns], table)


def _say_repeated(job: Job, splits: Splits) -> None:
    names = job.task.fields(as_text=job.as_text)
    for name, split in splits.items():
        count = count_repeated(split.rows, names)
        console.print(
            f"{count:,} of {len(split.rows):,} {name} rows repeat an input before them"
        )
    if "validation" in splits and not say_duplicates(job, *splits.values()):
        console.print("no validation row has an input that a training row has, too")


def _show_examples(job: Job, split: Split) -> None:
    """Rows chosen by the seed, as the model is given them."""
    rows = subset(split.rows, EXAMPLES, seed=job.config.runtime.seed)
    texts = show_inputs(job.task, rows, as_text=job.as_text)
    targets = render_targets(job.task, rows)
    for row_id, text, target in zip(rows["id"], texts, targets, strict=True):
        console.print(f"row {row_id}", style="bold", markup=False)
        shown = cut_text(text).replace("\n", "\n          ")
        console.print(f"  input:  {shown}", markup=False)
        console.print(f"  target: {cut_text(target)}", markup=False)


def _plot(job: Job, lengths: dict[str, Lengths], path: Path) -> None:
    inputs = {name: found.inputs for name, found in lengths.items()}
    panels = {"input": (inputs, job.max_input_tokens)}
    if job.as_text:
        targets = {name: found.targets for name, found in lengths.items()}
        panels["target"] = (targets, job.max_target_tokens)
    plot_token_lengths(panels, path)


def _say_written(job: Job, output: Path, count: int) -> None:
    """Say how the file is read again: a mixture's rows are those of a custom task."""
    flags = reading_flags(job.task)
    name = job.task.name
    if job.task.members:
        name = "custom"
        flags = ["--task.input-template", "{input}", "--task.target-template"]
        flags += ["{target}", "--task.references-column", "references"]
    command = ["kerastune", "train", name, "--data.train", str(output), *flags]
    console.print(f"wrote {output}: {count:,} training rows", markup=False)
    console.print(f"  train on them: {shlex.join(command)}", markup=False)
