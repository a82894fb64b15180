"""`kerastune data`."""

import argparse
from pathlib import Path

from kerastune_llm.config import RunConfig
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import add_config_flags, add_fields
from kerastune_llm.verbs.verb import Verb

# Files of this verb's own, unlike the run directory that a --config may name.
ROWS, PLOT = "rows_file", "plot_file"
OF_TRAINING = (
    "method",
    "optim",
    "runtime",
    "evaluation",
    "adapter",
    "from_scratch",
    "output",
)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    add_config_flags(parser, without=OF_TRAINING)
    add_fields(parser, "runtime", only=("seed",))
    parser.add_argument(
        "--output",
        dest=ROWS,
        type=Path,
        metavar="FILE",
        help="write the training rows, the augmented ones too: jsonl, csv or parquet",
    )
    parser.add_argument(
        "--plot",
        dest=PLOT,
        type=Path,
        metavar="FILE",
        help="png of the lengths (default: runs/TASK-lengths.png)",
    )


def _run(options: argparse.Namespace, config: RunConfig) -> int:
    from kerastune_llm.commands.data import describe_data

    files = vars(options)
    describe_data(config, output=files[ROWS], plot=files[PLOT])
    return 0


VERBS.register("data")(
    Verb(
        summary="say what a task's rows are like, and write them",
        usage="TASK [flags]",
        example="kerastune data squad --data.train train.json --output rows.jsonl",
        add_flags=_add_flags,
        run=_run,
        config="required",
    )
)
