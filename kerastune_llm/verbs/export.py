"""`kerastune export`."""

import argparse
from pathlib import Path

from kerastune_llm.registry import EXPORTS, VERBS
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    forms = (
        f"{name}: {(EXPORTS.get(name).__doc__ or '').partition(chr(10))[0]}"
        for name in EXPORTS.names()
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument(
        "--to",
        dest="form",
        required=True,
        choices=EXPORTS.names(),
        metavar="FORM",
        help=" ".join(forms),
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="new or empty folder")


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.export import export

    export(options.run, options.form, options.folder)
    return 0


VERBS.register("export")(
    Verb(
        summary="write a run's model in the form that another program opens",
        usage="RUN --to FORM DIR",
        example="kerastune export runs/squad --to transformers exported",
        add_flags=_add_flags,
        run=_run,
    )
)
