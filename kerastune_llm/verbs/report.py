"""`kerastune report`."""

import argparse
from pathlib import Path

from kerastune_llm.registry import VERBS
from kerastune_llm.remote import as_place
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="+", type=as_place, metavar="RUN", help="finished runs"
    )
    parser.add_argument(
        "--output",
        type=as_place,
        default=Path("report.html"),
        metavar="FILE",
        help="the page (default: report.html)",
    )


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.report import report

    report(options.runs, options.output)
    return 0


VERBS.register("report")(
    Verb(
        summary="write a page that puts finished runs side by side",
        usage="RUN [RUN ...] [--output report.html]",
        example="kerastune report runs/lora runs/full --output report.html",
        add_flags=_add_flags,
        run=_run,
    )
)
