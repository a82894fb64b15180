"""`kerastune doctor`."""

import argparse

from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import add_config_flags
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    add_config_flags(parser)
    parser.add_argument(
        "--tpu",
        action="store_true",
        help="also compile the run's steps for XLA, and list what a TPU would not run",
    )


def _run(options: argparse.Namespace, config: RunConfig | None) -> int:
    from kerastune_llm.commands.doctor import doctor

    if options.tpu and config is None:
        raise UserError(
            "Which configuration is to run on a TPU?",
            received="--tpu alone",
            mend="kerastune doctor --tpu --config FILE, or TASK and its flags",
        )
    return doctor(config, tpu=options.tpu)


VERBS.register("doctor")(
    Verb(
        summary="check this installation, and a configuration",
        usage="[TASK] [--tpu] [flags]",
        example="kerastune doctor cola --model minilm",
        add_flags=_add_flags,
        run=_run,
        config="optional",
    )
)
