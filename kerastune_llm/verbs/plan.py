"""`kerastune plan`."""

import argparse
from collections.abc import Iterable

from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import add_config_flags
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("replicas, on paper")
    group.add_argument(
        "--replicas",
        metavar="N[,N...]",
        help="also say how throughput should grow to so many replicas, each with "
        "--optim.batch-size rows: 1,8,64,256",
    )
    group.add_argument(
        "--link-gbps",
        type=float,
        default=100.0,
        metavar="GBIT",
        help="what joins them, in each direction (default: %(default)g)",
    )
    group.add_argument(
        "--link-microseconds",
        type=float,
        default=10.0,
        metavar="MICROSECONDS",
        help="until a message arrives (default: %(default)g)",
    )
    group.add_argument(
        "--device-tflops",
        type=float,
        default=100.0,
        metavar="TFLOPS",
        help="what a replica holds in training, a third or so of a GPU's peak "
        "(default: %(default)g)",
    )
    add_config_flags(parser)


def _run(options: argparse.Namespace, config: RunConfig) -> int:
    replicas = _numbers(options.replicas) if options.replicas is not None else []
    speeds = (options.link_gbps, options.link_microseconds, options.device_tflops)
    _check_positive(speeds)
    from kerastune_llm.commands.plan import plan

    made = plan(config)
    if replicas:
        from kerastune_llm.commands.plan_replicas import Machines, plan_replicas

        plan_replicas(config, made, replicas, Machines(*speeds))
    return 0


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise UserError(
            "How many replicas?", accepted="--replicas 1,8,64,256", received=text
        )
    return numbers


def _check_positive(speeds: Iterable[float]) -> None:
    for speed in speeds:
        if not 0 < speed < float("inf"):
            raise UserError(
                "The speed of links and devices, and their latency, must be positive.",
                accepted="--link-gbps 100 --link-microseconds 10 --device-tflops 100",
                received=speed,
            )


VERBS.register("plan")(
    Verb(
        summary="say what a run would train and how much memory it would take",
        usage="[TASK] [flags]",
        example="kerastune plan --model google/flan-t5-base --method lora",
        add_flags=_add_flags,
        run=_run,
        config="required",
        default_task="custom",
    )
)
