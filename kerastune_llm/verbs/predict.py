"""`kerastune predict`."""

import argparse
from pathlib import Path

from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument("--input", type=Path, required=True, help="rows to answer")
    parser.add_argument("--output", type=Path, required=True, help="jsonl to write")


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.predict import predict

    predict(options.run, options.input, options.output)
    return 0


VERBS.register("predict")(
    Verb(
        summary="answer the rows of a file",
        usage="RUN --input FILE --output FILE",
        example="kerastune predict runs/squad --input questions.jsonl "
        "--output answers.jsonl",
        add_flags=_add_flags,
        run=_run,
    )
)
