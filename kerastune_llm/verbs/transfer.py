"""`kerastune transfer`."""

import argparse

from kerastune_llm.config import merge, read_config_file
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import add_config_flags, nested_values
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tasks",
        default="",
        metavar="TASK,...",
        help="tasks to train and score on: names, or configuration files with a task "
        "and its data",
    )
    add_config_flags(parser, without=("task",))


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.transfer import transfer

    values = nested_values(vars(options))
    if options.config is not None:
        values = merge(read_config_file(options.config), values)
    tasks = [part.strip() for part in options.tasks.split(",") if part.strip()]
    return transfer(values, tasks=tasks).progress.exit_code


VERBS.register("transfer")(
    Verb(
        summary="train on each task and score on every other",
        usage="--tasks TASK,TASK [flags]",
        example="kerastune transfer --tasks cola,squad --method lora",
        add_flags=_add_flags,
        run=_run,
    )
)
