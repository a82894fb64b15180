"""`kerastune predict`: answer the rows of a file with a run's model."""

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kerastune_llm.commands.answer_file import (
    FORMS,
    AnswerFile,
    AnswerStream,
    Origin,
    digest_of,
    digest_of_folder,
)
from kerastune_llm.commands.console import (
    console,
    console_on_stderr,
    logging_to,
    progress,
)
from kerastune_llm.commands.finished_run import load_scorer, open_run
from kerastune_llm.commands.job import Job
from kerastune_llm.commands.output_file import check_form
from kerastune_llm.commands.splits import Split, load_inputs, say_truncation
from kerastune_llm.config import flag
from kerastune_llm.data.inputs import STDIN
from kerastune_llm.data.render import show_inputs
from kerastune_llm.remote import as_place, here
from kerastune_llm.rundir import RunDir
from kerastune_llm.tasks.task import Task
from kerastune_llm.training.scoring import Answers, Scorer

STDOUT = Path("-")
# Batches between two times that answers are written: what a kill loses at most.
CHUNK = 8


def predict(
    run: str | Path,
    input: str | Path = STDIN,
    output: str | Path = STDOUT,
    *,
    form: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write one record a row, in the order of the rows: `id`, `input`, `prediction`.

    A label has a `score`, its probability; a text has the geometric mean of its tokens'
    probabilities there; several labels have `scores`, every label's probability; a
    number has none.

    Answers are written a few batches at a time. The same call goes on where it was
    stopped, after checking that inputs, model and what is written are the same.

    Args:
        run: The run directory, or its address.
        input: Rows in any form that training rows may have, or plain text with one
            input a line; targets are not needed. `-`: standard input.
        output: The jsonl or csv file to write. `-`: standard output, as jsonl.
        form: The form of the input, where its name or its beginning does not say.
        changes: Nested values laid over the run's configuration.

    Returns:
        `output`.

    Raises:
        UserError: No run there, something is wrong with the rows, or the output is a
            file that holds anything else.
        KeyboardInterrupt: Ctrl-C; the message that was printed says how to go on.
    """
    input, output = as_place(input), here(output)
    with contextlib.ExitStack() as at_end:
        if output == STDOUT:
            at_end.enter_context(console_on_stderr())
        else:
            check_form(output, FORMS, "Answers")
        at_end.enter_context(logging_to(None))
        run_dir, job = open_run(run, changes)
        split = load_inputs(job, input, form)
        say_truncation("input", split)
        texts = show_inputs(job.task, split.rows, as_text=job.as_text)
        answers = _answers_to(output, run_dir, job, list(split.rows["id"]), texts)
        if answers.answered == len(texts):
            console.print(f"{output} holds the answers of all these rows", markup=False)
            return output
        try:
            _answer_all(answers, load_scorer(run_dir, job), job.task, split, texts)
        except KeyboardInterrupt:
            if output != STDOUT:
                command = _command(run, input, output, form=form, changes=changes)
                _say_interrupted(answers, len(texts), command)
            raise
        if output != STDOUT:
            console.print(f"wrote {output}: {len(texts):,} rows", markup=False)
    return output


def _answers_to(
    output: Path, run: RunDir, job: Job, ids: list[str], texts: list[str]
) -> AnswerFile | AnswerStream:
    """Where answers go, with those that are there already."""
    if output == STDOUT:
        return AnswerStream()
    evaluation = job.config.evaluation
    settings = {
        "model": job.config.model,
        "labels": list(job.task.labels),
        "num_beams": evaluation.num_beams,
        "max_new_tokens": evaluation.max_new_tokens or job.max_target_tokens,
        "max_input_tokens": job.max_input_tokens,
        "long_context": job.config.data.long_context,
        "stride": job.config.data.stride,
    }
    origin = Origin(
        run=str(run.place),
        inputs=digest_of(list(zip(ids, texts, strict=True))),
        model=digest_of_folder(run.trained, settings),
        rows=len(texts),
    )
    answers = AnswerFile(output, origin)
    if 0 < answers.answered < len(texts):
        console.print(
            f"going on after {answers.answered:,} of {len(texts):,} rows", markup=False
        )
    return answers


def _answer_all(
    answers: AnswerFile | AnswerStream,
    scorer: Scorer,
    task: Task,
    split: Split,
    texts: list[str],
) -> None:
    """Answer the rows that are not answered yet, a chunk at a time."""
    total, step = len(texts), CHUNK * scorer.batch_size
    ids = split.rows["id"]
    with progress("answering") as on_batch:
        for start in range(answers.answered, total, step):
            rows = range(start, min(start + step, total))
            found = scorer.answer(
                split.tokenised.select(rows),
                lambda done, _, start=start: on_batch(start + done, total),
                with_scores=True,
            )
            given = [{"id": ids[row], "input": texts[row]} for row in rows]
            scored = zip(given, _scored(task, found), strict=True)
            answers.append([record | answer for record, answer in scored])


def _scored(task: Task, answers: Answers) -> Iterator[dict[str, Any]]:
    """Each answer with what is known of its probability."""
    for row, text in enumerate(answers.texts):
        record: dict[str, Any] = {"prediction": text}
        if task.kind == "multilabel" and answers.probabilities is not None:
            values = answers.probabilities[row].tolist()
            record["scores"] = dict(zip(task.labels, values, strict=True))
        elif answers.scores is not None:
            record["score"] = float(answers.scores[row])
        yield record


def _say_interrupted(
    answers: AnswerFile | AnswerStream, total: int, command: str
) -> None:
    console.print(
        f"interrupted: {answers.answered:,} of {total:,} rows are answered and kept; "
        f"go on with  {command}",
        markup=False,
    )


def _command(
    run: str | Path,
    input: str | Path,
    output: Path,
    *,
    form: str | None,
    changes: Mapping[str, Any] | None,
) -> str:
    """The command line of this call."""
    words = ["kerastune", "predict", str(run), "--input", str(input)]
    words += ["--output", str(output)]
    if form is not None:
        words += ["--form", form]
    for group, fields in (changes or {}).items():
        for name, value in fields.items():
            if isinstance(value, Mapping):
                value = ",".join(f"{key}={column}" for key, column in value.items())
            words += [flag((group, name)), str(value)]
    return shlex.join(words) + (" < THE SAME ROWS" if input == STDIN else "")
