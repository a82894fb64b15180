"""`kerastune plan`."""

import argparse

from kerastune_llm.config import RunConfig
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import add_config_flags
from kerastune_llm.verbs.verb import Verb


def _run(options: argparse.Namespace, config: RunConfig) -> int:
    from kerastune_llm.commands.plan import plan

    plan(config)
    return 0


VERBS.register("plan")(
    Verb(
        summary="say what a run would train and how much memory it would take",
        usage="[TASK] [flags]",
        example="kerastune plan --model google/flan-t5-base --method lora",
        add_flags=add_config_flags,
        run=_run,
        config="required",
        default_task="custom",
    )
)
