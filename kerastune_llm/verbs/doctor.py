"""`kerastune doctor`."""

import argparse

from kerastune_llm.config import RunConfig
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import add_config_flags
from kerastune_llm.verbs.verb import Verb


def _run(options: argparse.Namespace, config: RunConfig | None) -> int:
    from kerastune_llm.commands.doctor import doctor

    return doctor(config)


VERBS.register("doctor")(
    Verb(
        summary="check this installation, and a configuration",
        usage="[TASK] [flags]",
        example="kerastune doctor cola --model minilm",
        add_flags=add_config_flags,
        run=_run,
        config="optional",
    )
)
