"""`kerastune export`."""

import argparse

from kerastune_llm.commands.export_form import WEIGHTS, ServingOptions
from kerastune_llm.registry import EXPORTS, VERBS
from kerastune_llm.remote import as_place
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    forms = (f"{name}: {EXPORTS.get(name).summary}" for name in EXPORTS.names())
    parser.add_argument(
        "run", type=as_place, metavar="RUN", help="run directory, or its address"
    )
    parser.add_argument(
        "--to",
        dest="form",
        required=True,
        choices=EXPORTS.names(),
        metavar="FORM",
        help=" ".join(forms),
    )
    parser.add_argument(
        "folder", type=as_place, metavar="DIR", help="new or empty folder"
    )
    served = parser.add_argument_group("for --to savedmodel")
    served.add_argument("--name", help="what it is served as; default: the task's name")
    served.add_argument("--version", type=int, metavar="N", help="default: the next")
    served.add_argument(
        "--num-beams", type=int, metavar="N", help="beams; default: the run's"
    )
    served.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="longest generated answer; default: the run's",
    )
    served.add_argument(
        "--weights",
        choices=WEIGHTS,
        metavar="FORM",
        help=f"how they are stored: {', '.join(WEIGHTS)}; computed with in float32",
    )


def _run(options: argparse.Namespace) -> int:
    served = ServingOptions(
        name=options.name,
        version=options.version,
        num_beams=options.num_beams,
        max_new_tokens=options.max_new_tokens,
        weights=options.weights,
    )
    from kerastune_llm.commands.export import export

    export(options.run, options.form, options.folder, served)
    return 0


VERBS.register("export")(
    Verb(
        summary="write a run's model in the form that another program opens",
        usage="RUN --to FORM DIR [flags]",
        example="kerastune export runs/squad --to transformers exported",
        add_flags=_add_flags,
        run=_run,
    )
)
