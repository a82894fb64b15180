"""`kerastune predict`: answer the rows of a file with a run's model."""

from pathlib import Path
from typing import Any

from kerastune_llm.commands.assemble import (
    assemble,
    load_inputs,
    make_scorer,
    say_truncation,
)
from kerastune_llm.commands.console import console, logging_to, progress
from kerastune_llm.config import RunConfig, read_config_file
from kerastune_llm.data.render import render_inputs
from kerastune_llm.models.loading import load_model
from kerastune_llm.rundir import RunDir, write_jsonl


def predict(run: str | Path, input: Path, output: Path) -> Path:
    """Write one JSON object a row: `id`, `input`, `prediction`; for a label, `score`.

    Args:
        run: The run directory.
        input: Rows in any form that training rows may have; targets are not needed.
        output: The jsonl file to write.

    Raises:
        UserError: No run there, or something is wrong with the rows.
    """
    with logging_to(None):
        run_dir = RunDir.open(Path(run))
        config = RunConfig.parse(read_config_file(run_dir.config))
        recipe = assemble(config, run_dir.model)
        split = load_inputs(recipe, Path(input))
        say_truncation("input", split)
        model = load_model(
            run_dir.model, kind=recipe.model_kind, labels=recipe.task.labels or None
        )
        scorer = make_scorer(recipe, model)
        with progress("answering") as on_batch:
            answers = scorer.answer(split.tokenised, on_batch)
        records: list[dict[str, Any]] = [
            {"id": row_id, "input": text, "prediction": answer}
            for row_id, text, answer in zip(
                split.rows["id"],
                render_inputs(recipe.task, split.rows, as_text=recipe.as_text),
                answers.texts,
                strict=True,
            )
        ]
        if answers.probabilities is not None:
            for record, row in zip(records, answers.probabilities, strict=True):
                record["score"] = float(row.max())
        write_jsonl(Path(output), records)
        console.print(f"wrote {output}: {len(records):,} rows")
    return output
