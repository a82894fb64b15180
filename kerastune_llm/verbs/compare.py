"""`kerastune compare`."""

import argparse

from kerastune_llm.config import RunConfig
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import add_config_flags
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--methods",
        default="",
        metavar="METHOD,...",
        help="methods to compare, each with options after a colon if need be: "
        "full,lora,lora:rank=32,alpha=32",
    )
    parser.add_argument(
        "--models", metavar="MODEL,...", help="compare on each of these base models"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="runs of each method, with --runtime.seed and the numbers after it "
        "(default: 1)",
    )
    parser.add_argument(
        "--learning-rates",
        default="",
        metavar="METHOD=RATE,...",
        help="learning rates where not the method's own: lora=1e-3,full=5e-5",
    )
    add_config_flags(parser, without=("method",))


def _run(options: argparse.Namespace, config: RunConfig) -> int:
    from kerastune_llm.commands.compare import compare
    from kerastune_llm.commands.variants import parse_learning_rates

    models = [part.strip() for part in (options.models or "").split(",")]
    comparison = compare(
        config,
        methods=options.methods,
        models=list(filter(None, models)),
        seeds=options.seeds,
        learning_rates=parse_learning_rates(options.learning_rates),
    )
    return comparison.progress.exit_code


VERBS.register("compare")(
    Verb(
        summary="train methods on the same data, side by side",
        usage="TASK --methods METHOD,METHOD [flags]",
        example="kerastune compare cola --methods full,lora,lora:rank=32,alpha=32 "
        "--seeds 3",
        add_flags=_add_flags,
        run=_run,
        config="required",
    )
)
