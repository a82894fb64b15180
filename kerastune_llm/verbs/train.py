"""`kerastune train`."""

import argparse

from kerastune_llm.config import RunConfig
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import add_config_flags
from kerastune_llm.verbs.verb import Verb

INTERRUPTED = 130


def _run(options: argparse.Namespace, config: RunConfig) -> int:
    from kerastune_llm.commands.train import train

    return INTERRUPTED if train(config).interrupted else 0


VERBS.register("train")(
    Verb(
        summary="fine-tune a model on a task",
        usage="TASK [flags]",
        example="kerastune train squad --model google/flan-t5-small --method head "
        "--optim.epochs 3",
        add_flags=add_config_flags,
        run=_run,
        config="required",
    )
)
