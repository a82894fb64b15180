"""`kerastune evaluate`."""

import argparse

from kerastune_llm.registry import VERBS
from kerastune_llm.remote import as_place
from kerastune_llm.verbs.config_flags import add_fields, nested_values
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", type=as_place, metavar="RUN", help="run directory, or its address"
    )
    parser.add_argument(
        "--output", type=as_place, help="folder for metrics, predictions"
    )
    add_fields(parser, "data", only=("source", "validation", "max_validation_samples"))
    add_fields(parser, "evaluation", only=("batch_size", "num_beams", "confidence"))
    add_fields(parser, "task", only=("hub_splits",))


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.evaluate import evaluate

    changes = nested_values({k: v for k, v in vars(options).items() if k != "output"})
    evaluate(options.run, changes=changes, output=options.output)
    return 0


VERBS.register("evaluate")(
    Verb(
        summary="score a run on its validation rows",
        usage="RUN [flags]",
        example="kerastune evaluate runs/squad --evaluation.num-beams 4",
        add_flags=_add_flags,
        run=_run,
    )
)
