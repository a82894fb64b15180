"""`kerastune tune`."""

import argparse

from kerastune_llm.config import RunConfig
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import add_config_flags
from kerastune_llm.verbs.verb import Verb

INTERRUPTED = 130


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--space",
        nargs="+",
        default=(),
        metavar="FLAG=VALUES",
        help="what to search: optim.learning-rate=log:1e-5..1e-3 for a log-uniform "
        'range, optim.warmup=0..0.2 for a uniform one, "method.rank=4|8|16" for one of '
        "these (default: learning rate, warmup and the method's size)",
    )
    parser.add_argument(
        "--trials",
        type=int,
        default=20,
        metavar="N",
        help="trials in all, those before and of other processes included "
        "(default: 20)",
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="database that several processes share: sqlite:///study.db, "
        "postgresql://... (default: study.db in --output)",
    )
    parser.add_argument(
        "--study", metavar="NAME", help="name in the database (default: --output's)"
    )
    # What each trial's own process is started with.
    parser.add_argument("--only-trial", type=int, help=argparse.SUPPRESS)
    add_config_flags(parser)


def _run(options: argparse.Namespace, config: RunConfig) -> int:
    if options.only_trial is not None:
        return _run_one(options, config)
    from kerastune_llm.commands.tune import tune

    return tune(
        config,
        space=options.space,
        trials=options.trials,
        storage=options.storage,
        study=options.study,
    ).exit_code


def _run_one(options: argparse.Namespace, config: RunConfig) -> int:
    from kerastune_llm.commands.tune_trial import run_trial

    result = run_trial(
        config,
        storage=options.storage,
        study=options.study,
        number=options.only_trial,
    )
    return INTERRUPTED if result.interrupted else 0


VERBS.register("tune")(
    Verb(
        summary="search for the best hyper-parameters",
        usage="TASK [flags]",
        example="kerastune tune cola --method lora --trials 30 --space "
        '"optim.learning-rate=log:1e-4..1e-2" "method.rank=4|8|16"',
        add_flags=_add_flags,
        run=_run,
        config="required",
    )
)
