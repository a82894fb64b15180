"""More training rows out of those there are."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import datasets

from kerastune_llm.data.augmentation import Augmentation, Others
from kerastune_llm.data.rows import CHUNK, input_fields
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.registry import AUGMENTATIONS
from kerastune_llm.tasks.task import Row, Task


@dataclass
class Made:
    """What a kind of augmentation came to, in rows.

    Args:
        kind: Its name.
        made: New rows.
        unchanged: Rows it could change nothing of.
        answer_lost: New rows that were dropped, their answer no longer in the context.
    """

    kind: str
    made: int = 0
    unchanged: int = 0
    answer_lost: int = 0

    def __str__(self) -> str:
        """
        >>> print(Made("shuffle", made=1200, unchanged=3))
        shuffle: 1,200 rows made, 3 dropped (3 could not be changed)
        """
        reasons = []
        if self.unchanged:
            reasons.append(f"{self.unchanged:,} could not be changed")
        if self.answer_lost:
            reasons.append(f"{self.answer_lost:,} without their answer in the context")
        dropped = f"{self.unchanged + self.answer_lost:,} dropped"
        why = f" ({', '.join(reasons)})" if reasons else ""
        return f"{self.kind}: {self.made:,} rows made, {dropped}{why}"


def check_kinds(task: Task, kinds: Sequence[str]) -> None:
    """Refuse kinds of augmentation that do not fit a task.

    Raises:
        UserErrors: Each of them, with those that do.
    """
    fitting = [n for n in AUGMENTATIONS.names() if AUGMENTATIONS.get(n).fits(task)]
    problems = [
        UserError(
            f"The augmentation {kind} does not fit the task {task.name}: it is for "
            f"{_tasks_of(AUGMENTATIONS.get(kind))}.",
            accepted=", ".join(fitting) or "none, for this task",
            received=f"--data.augment {','.join(kinds)}",
        )
        for kind in kinds
        if kind not in fitting
    ]
    if problems:
        raise UserErrors(problems)


def augment(
    rows: datasets.Dataset, task: Task, kinds: Sequence[str], *, seed: int
) -> tuple[datasets.Dataset, list[Made]]:
    """The rows, and after them at most one more of each for every kind.

    A made row has the id of its origin, a slash and the kind. Of a question whose
    answer stands in its context, a made row is dropped unless the answer still does.

    Args:
        rows: Canonical training rows of `load_rows`.
        task: What they are for.
        kinds: Names out of the register.
        seed: With a row's place and the kind, decides what it becomes.

    Returns:
        All rows, and what each kind came to.

    Raises:
        UserError: A kind does not fit the task, or drops every row.
    """
    check_kinds(task, kinds)
    contexts = list(rows["context"]) if "context" in rows.column_names else []
    others = Others(input_fields(task), list(dict.fromkeys(contexts)))
    parts, counts = [rows], []
    for kind in kinds:
        made = Made(kind)
        new = list(_made_rows(rows, others, made, seed))
        if not new:
            raise UserError(
                f"The augmentation dropped every row: {made}.",
                accepted="kinds that can change some of them",
                received=f"--data.augment {','.join(kinds)}",
                mend=f"leave {kind} out",
            )
        parts += [
            datasets.Dataset.from_list(new[start : start + CHUNK], rows.features)
            for start in range(0, len(new), CHUNK)
        ]
        counts.append(made)
    return datasets.concatenate_datasets(parts), counts


def _made_rows(
    rows: datasets.Dataset, others: Others, made: Made, seed: int
) -> Iterator[Row]:
    make = AUGMENTATIONS.get(made.kind).make
    for place, row in enumerate(rows):
        rng = random.Random(f"{seed} {made.kind} {place}")
        changes = make(row, others, rng)
        if changes is None:
            made.unchanged += 1
        elif not keeps_answer(row, new := {**row, **changes}):
            made.answer_lost += 1
        else:
            made.made += 1
            yield {**new, "id": f"{row['id']}/{made.kind}"}


def keeps_answer(row: Row, new: Row) -> bool:
    """Whether every answer that stood in the context still does, and one at least.

    A row without an answer, or without a context, has none to lose.

    >>> row = {"context": "A b. C d.", "target": "b. C", "references": ["b. C"]}
    >>> keeps_answer(row, row), keeps_answer(row, {**row, "context": "C d. A b."})
    (True, False)
    """
    if "context" not in row or "target" not in row or not row["target"]:
        return True
    pairs = zip(
        [row["target"], *row["references"]],
        [new["target"], *new["references"]],
        strict=True,
    )
    stands = [(old in row["context"], text in new["context"]) for old, text in pairs]
    return stands[0][1] and all(now for before, now in stands if before)


def _tasks_of(kind: Augmentation) -> str:
    if kind.form == "labels":
        return "tasks with labels"
    return "questions on a context"
