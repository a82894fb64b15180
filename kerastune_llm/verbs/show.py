"""`kerastune show`."""

import argparse

from kerastune_llm.registry import VERBS
from kerastune_llm.remote import as_place
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        type=as_place,
        nargs="+",
        metavar="RUN",
        help="run directories; the first one's validation rows are shown",
    )
    parser.add_argument(
        "--rows", type=int, default=10, metavar="N", help="rows (default: 10)"
    )
    parser.add_argument(
        "--output",
        type=as_place,
        metavar="FILE",
        help="a page (.html) or a table (.csv), instead of the console",
    )
    parser.add_argument(
        "--no-untuned",
        dest="untuned",
        action="store_false",
        help="leave out the model that the first run began with",
    )


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.show import show

    show(
        options.runs, rows=options.rows, output=options.output, untuned=options.untuned
    )
    return 0


VERBS.register("show")(
    Verb(
        summary="read validation rows with the answers of people and models",
        usage="RUN [RUN ...] [flags]",
        example="kerastune show runs/full runs/lora --rows 20 --output answers.html",
        add_flags=_add_flags,
        run=_run,
    )
)
