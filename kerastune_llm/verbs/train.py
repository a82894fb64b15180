"""`kerastune train`."""

import argparse

from kerastune_llm.config import RunConfig
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import add_config_flags
from kerastune_llm.verbs.verb import Verb

INTERRUPTED = 130


def _add_flags(parser: argparse.ArgumentParser) -> None:
    add_config_flags(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --output, if one was begun there",
    )


def _run(options: argparse.Namespace, config: RunConfig) -> int:
    from kerastune_llm.commands.train import train

    result = train(config, resume=options.resume)
    return INTERRUPTED if result.interrupted else 0


VERBS.register("train")(
    Verb(
        summary="fine-tune a model on a task",
        usage="TASK [flags]",
        example="kerastune train squad --model google/flan-t5-small --method head "
        "--optim.epochs 3",
        add_flags=_add_flags,
        run=_run,
        config="required",
    )
)
