"""`kerastune predict`: answer the rows of a file with a run's model."""

from pathlib import Path
from typing import Any

from kerastune_llm.commands.console import console, logging_to, progress
from kerastune_llm.commands.finished_run import load_scorer, open_run
from kerastune_llm.commands.splits import load_inputs, say_truncation
from kerastune_llm.data.render import show_inputs
from kerastune_llm.rundir import write_jsonl


def predict(run: str | Path, input: Path, output: Path) -> Path:
    """Write one JSON object a row: `id`, `input`, `prediction`.

    A classification head adds `score`, the label's probability; a multilabel head
    `scores`, the probability of every label.

    Args:
        run: The run directory.
        input: Rows in any form that training rows may have; targets are not needed.
        output: The jsonl file to write.

    Raises:
        UserError: No run there, or something is wrong with the rows.
    """
    with logging_to(None):
        run_dir, job = open_run(run)
        split = load_inputs(job, Path(input))
        say_truncation("input", split)
        scorer = load_scorer(run_dir, job)
        with progress("answering") as on_batch:
            answers = scorer.answer(split.tokenised, on_batch)
        records: list[dict[str, Any]] = [
            {"id": row_id, "input": text, "prediction": answer}
            for row_id, text, answer in zip(
                split.rows["id"],
                show_inputs(job.task, split.rows, as_text=job.as_text),
                answers.texts,
                strict=True,
            )
        ]
        if answers.probabilities is not None:
            for record, row in zip(records, answers.probabilities, strict=True):
                if job.task.kind == "multilabel":
                    pairs = zip(job.task.labels, row.tolist(), strict=True)
                    record["scores"] = dict(pairs)
                else:
                    record["score"] = float(row.max())
        write_jsonl(Path(output), records)
        console.print(f"wrote {output}: {len(records):,} rows")
    return output
