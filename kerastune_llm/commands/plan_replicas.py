"""The part of `kerastune plan` about many replicas: on paper, nothing is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kerastune_llm.commands.console import console, show_table
from kerastune_llm.commands.job import with_bundled_settings
from kerastune_llm.commands.plan import Plan, make_plan
from kerastune_llm.config import RunConfig
from kerastune_llm.models.model_config import load_config
from kerastune_llm.training.scaling import Link, Update, gradient_bytes

GIGA, TERA, MICRO = 1e9, 1e12, 1e-6
BITS = 8
HALF = 0.5


@dataclass(frozen=True)
class Machines:
    """What replicas are made of, and what joins them.

    Args:
        gigabits: Of a link, per second and direction.
        microseconds: Until a message arrives.
        teraflops: That a replica holds in training, not its peak.
    """

    gigabits: float = 100.0
    microseconds: float = 10.0
    teraflops: float = 100.0

    @property
    def link(self) -> Link:
        """The link in bytes and seconds."""
        return Link(self.gigabits * GIGA / BITS, self.microseconds * MICRO)


def plan_replicas(
    config: RunConfig, made: Plan, replicas: Sequence[int], machines: Machines
) -> dict[str, Update]:
    """Print how throughput should grow with the replicas, for a run and for `full`.

    Args:
        config: The run; `--optim.batch-size` is the rows of each replica here.
        made: Its plan.
        replicas: Numbers of them.
        machines: What they are.

    Returns:
        An update by method.
    """
    config = with_bundled_settings(config)
    plans = {config.method.name: made}
    if "full" not in plans:
        full = config.updated({"method": "full"})
        plans["full"] = make_plan(full, load_config(config.model))
    updates = {
        name: one_update(plan, config.optim.batch_size, machines)
        for name, plan in plans.items()
    }
    for name, update in updates.items():
        _show(name, update, replicas, machines.link)
    _show_limits(updates, machines.link)
    _say_assumptions(machines)
    return updates


def one_update(plan: Plan, rows: int, machines: Machines) -> Update:
    """What an update of so many rows takes of one replica."""
    return Update(
        gradient_bytes=gradient_bytes(plan.parameters.trainable),
        seconds=rows * plan.operations / (machines.teraflops * TERA),
        rows=rows,
    )


def _show(name: str, update: Update, replicas: Sequence[int], link: Link) -> None:
    show_table(
        f"{name}: {update.gradient_bytes / 1e6:,.3f} MB of gradients, "
        f"{update.seconds * 1e3:.3g} ms of computing for {update.rows} rows a replica",
        ["replicas", "rows in all", "sum, ms", "efficiency", "rows a second"],
        [
            [
                count,
                count * update.rows,
                update.sum_seconds(count, link) * 1e3,
                f"{update.efficiency(count, link):.1%}",
                round(update.rows_per_second(count, link)),
            ]
            for count in replicas
        ],
    )


def _show_limits(updates: Mapping[str, Update], link: Link) -> None:
    for name, update in updates.items():
        most = update.largest(HALF, link)
        if most is not None:
            console.print(
                f"{name}: beyond {most:,} replica{'s' * (most > 1)} more than half of "
                "the time goes into the sum"
            )


def _say_assumptions(machines: Machines) -> None:
    console.print(
        "On paper, none of it measured: gradients in float32 are summed in a ring "
        f"over links of {machines.gigabits:g} Gbit/s and {machines.microseconds:g} µs, "
        "after the computing and not beside it; each replica holds "
        f"{machines.teraflops:g} TFLOP/s. Every worker goes through the rows of all "
        "and takes its own: each of their input pipelines must make the rows a second "
        "that the table has, or it is what stops the growth."
    )
