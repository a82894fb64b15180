"""`kerastune list`."""

import argparse

from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", metavar="KIND", help="default: all kinds")


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.list import list_names

    list_names(options.kind)
    return 0


VERBS.register("list")(
    Verb(
        summary="name the tasks, methods, metrics, optimizers, recipes, augmentations",
        usage="[KIND]",
        example="kerastune list tasks",
        add_flags=_add_flags,
        run=_run,
    )
)
