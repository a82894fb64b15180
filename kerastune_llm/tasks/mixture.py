"""Several tasks learned at once, each as text to text, as T5 is trained."""

from collections.abc import Mapping, Sequence
from typing import Literal

from kerastune_llm.errors import UserError
from kerastune_llm.registry import TASKS
from kerastune_llm.tasks.task import Task

Rates = Literal["proportional", "equal", "temperature"]


@TASKS.register
def mixture() -> Task:
    """Several tasks at once; `--mixture.tasks` names them, `--mixture.rates` weighs."""
    return Task(
        name="mixture",
        kind="seq2seq",
        input_template="{input}",
        target_template="{target}",
        references_column="references",
        best_metric="mean",
        reference="Raffel et al. 2020, arXiv:1910.10683, section 3.5.2",
    )


def mix(tasks: Sequence[Task]) -> Task:
    """The mixture of `tasks`, as long as the longest of them.

    Its metrics are theirs, named `task/metric`, and `mean`: the mean of their best
    metrics, all counted in percent.

    Raises:
        UserError: None or a single task, one twice, or one that cannot be mixed.
    """
    names = [task.name for task in tasks]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(
            "A mixture is made of two or more different tasks.",
            received=", ".join(names) or "none",
            mend="--mixture.tasks squad,cola",
        )
    for name in {"custom", "mixture"} & set(names):
        raise UserError(
            f"The task {name} cannot be a member of a mixture.",
            mend="register your own task in a file: --task-file FILE.py",
        )
    whole = mixture()
    return Task(
        name="mixture",
        kind="seq2seq",
        input_template=whole.input_template,
        target_template=whole.target_template,
        references_column=whole.references_column,
        best_metric=whole.best_metric,
        reference=whole.reference,
        members={task.name: task for task in tasks},
        max_input_tokens=max(task.max_input_tokens for task in tasks),
        max_target_tokens=max(task.max_target_tokens for task in tasks),
    )


def mixing_shares(
    counts: Mapping[str, int],
    rates: Rates | Mapping[str, float],
    *,
    cap: int,
    temperature: float,
) -> dict[str, float]:
    """The share of training rows that each task gets; they add up to 1.

    With n rows of a task, its weight is min(n, cap) (`"proportional"`), the same for
    all (`"equal"`), min(n, cap)^(1 / temperature) (`"temperature"`), or as given.

    Args:
        counts: Rows of each task.
        rates: How they are weighed, or a weight for each.
        cap: More rows than these do not weigh more.
        temperature: 1 is proportional; the higher, the closer to equal.

    Raises:
        UserError: A weight for a task that is not mixed, none for one that is, or no
            weight above zero.

    Example:
    >>> mixing_shares({"a": 300, "b": 5000}, "proportional", cap=900, temperature=1.0)
    {'a': 0.25, 'b': 0.75}
    >>> mixing_shares({"a": 1, "b": 9}, "temperature", cap=900, temperature=2.0)
    {'a': 0.25, 'b': 0.75}
    """
    if isinstance(rates, Mapping):
        weights = _given_weights(counts, rates)
    elif rates == "equal":
        weights = dict.fromkeys(counts, 1.0)
    else:
        power = 1 / temperature if rates == "temperature" else 1.0
        weights = {name: min(n, cap) ** power for name, n in counts.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _given_weights(
    counts: Mapping[str, int], rates: Mapping[str, float]
) -> dict[str, float]:
    if set(rates) != set(counts):
        raise UserError(
            "--mixture.rates must weigh every task of the mixture, and no other.",
            accepted=",".join(f"{name}=1" for name in counts),
            received=", ".join(rates),
        )
    if min(rates.values()) < 0 or not max(rates.values()) > 0:
        raise UserError(
            "--mixture.rates must not be below zero, and at least one above it.",
            received=", ".join(f"{name}={rate:g}" for name, rate in rates.items()),
        )
    return {name: float(rates[name]) for name in counts}
