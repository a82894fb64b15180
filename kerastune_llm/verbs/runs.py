"""`kerastune runs`."""

import argparse
from pathlib import Path

from kerastune_llm.registry import VERBS
from kerastune_llm.remote import as_place
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        nargs="?",
        type=as_place,
        default=Path("runs"),
        metavar="FOLDER",
        help="where the runs are (default: runs)",
    )
    parser.add_argument("--task", metavar="TASK", help="runs of this task alone")
    parser.add_argument(
        "--sort",
        metavar="METRIC",
        help="runs with this metric alone, the best first (default: all, by name)",
    )


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.runs import show_runs

    show_runs(options.folder, task=options.task, sort=options.sort)
    return 0


VERBS.register("runs")(
    Verb(
        summary="list the finished runs with their metrics",
        usage="[FOLDER] [--task TASK] [--sort METRIC]",
        example="kerastune runs --task squad --sort exact_match",
        add_flags=_add_flags,
        run=_run,
    )
)
