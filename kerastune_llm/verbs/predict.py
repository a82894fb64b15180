"""`kerastune predict`."""

import argparse
import sys
from pathlib import Path

from kerastune_llm.errors import UserError
from kerastune_llm.registry import VERBS
from kerastune_llm.remote import as_place
from kerastune_llm.verbs.config_flags import add_fields, nested_values
from kerastune_llm.verbs.verb import Verb

OWN = ("run", "input", "output", "form")


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", type=as_place, metavar="RUN", help="run directory, or its address"
    )
    parser.add_argument(
        "--input",
        type=as_place,
        metavar="FILE",
        help="rows to answer: json, jsonl, csv, tsv, parquet, or plain text with one "
        "input a line (default: -, standard input)",
    )
    parser.add_argument(
        "--output",
        type=as_place,
        default=Path("-"),
        metavar="FILE",
        help="jsonl or csv to write; an interrupted one goes on (default: -, standard "
        "output)",
    )
    parser.add_argument(
        "--form",
        metavar="FORM",
        help="form of the input, where neither name nor content says: json, jsonl, "
        "csv, tsv, parquet, text",
    )
    add_fields(parser, "task", only=("columns",))
    only = ("batch_size", "num_beams", "max_new_tokens")
    add_fields(parser, "evaluation", only=only)


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.predict import predict

    _check_input(options.input)
    values = {k: v for k, v in vars(options).items() if k not in OWN}
    predict(
        options.run,
        options.input or Path("-"),
        options.output,
        form=options.form,
        changes=nested_values(values),
    )
    return 0


def _check_input(path: Path | str | None) -> None:
    """Refuse to wait for rows that nobody knows are to be typed."""
    if path is None and sys.stdin.isatty():
        raise UserError(
            "There are no rows to answer.",
            mend="--input FILE, or pipe them in; --input - to type them",
        )


VERBS.register("predict")(
    Verb(
        summary="answer the rows of a file",
        usage="RUN [--input FILE] [--output FILE] [flags]",
        example="kerastune predict runs/squad --input questions.jsonl "
        "--output answers.jsonl",
        add_flags=_add_flags,
        run=_run,
    )
)
