"""`kerastune bench`."""

import argparse
import time
from pathlib import Path

from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import add_config_flags
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    add_config_flags(parser, without=("output",))
    parser.add_argument(
        "--steps",
        type=int,
        default=30,
        metavar="N",
        help="updates that are timed, after the warm-up (default: 30)",
    )
    # Not `output`: that is the run directory a configuration names.
    parser.add_argument(
        "--output",
        type=Path,
        dest="figures",
        metavar="FILE",
        help="the figures as json too",
    )


def _run(options: argparse.Namespace, config: RunConfig) -> int:
    began = time.perf_counter()
    if options.steps < 1:
        raise UserError("--steps must be positive.", received=options.steps)
    from kerastune_llm.commands.bench import bench

    bench(config, steps=options.steps, output=options.figures, began=began)
    return 0


VERBS.register("bench")(
    Verb(
        summary="time a configuration on this machine, and say what limits it",
        usage="TASK [flags]",
        example="kerastune bench cola --model minilm --method lora --steps 30",
        add_flags=_add_flags,
        run=_run,
        config="required",
    )
)
