"""`kerastune resume`."""

import argparse

from kerastune_llm.registry import VERBS
from kerastune_llm.remote import as_place
from kerastune_llm.verbs.config_flags import add_fields, nested_values
from kerastune_llm.verbs.train import INTERRUPTED
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", type=as_place, metavar="RUN", help="run directory, or its address"
    )
    for group in ("data", "optim", "runtime", "evaluation"):
        add_fields(parser, group)


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.resume import resume

    changes = nested_values(vars(options))
    return INTERRUPTED if resume(options.run, changes=changes).interrupted else 0


VERBS.register("resume")(
    Verb(
        summary="go on with a run that was cut off, or lengthen a finished one",
        usage="RUN [flags]",
        example="kerastune resume runs/squad --optim.epochs 5",
        add_flags=_add_flags,
        run=_run,
    )
)
