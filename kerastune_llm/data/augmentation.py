"""What a kind of augmentation is, and what it is given to make a row of."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kerastune_llm.data.rows import input_fields
from kerastune_llm.tasks.task import Row, Task

Form = Literal["question answering", "labels"]


@dataclass(frozen=True)
class Others:
    """What a row may take from other rows.

    Args:
        fields: Columns with text that the model is given.
        contexts: Each context of the training rows once; empty without that column.
    """

    fields: tuple[str, ...]
    contexts: Sequence[str]

    def some_context(self, row: Row, rng: random.Random) -> str | None:
        """A context at random, or `None` where the row's own was drawn."""
        context = rng.choice(self.contexts)
        return None if context == row["context"] else context


Make = Callable[[Row, Others, random.Random], Mapping[str, object] | None]


@dataclass(frozen=True)
class Augmentation:
    """A kind of augmentation.

    Args:
        form: The tasks it is for.
        make: Gives the columns that change, of a canonical row, or `None` where it can
            change nothing. It draws from the random numbers it is given alone.
        summary: One line for people.
    """

    form: Form
    make: Make
    summary: str

    def fits(self, task: Task) -> bool:
        """Whether rows of the task have what it works on."""
        if task.members:
            return False
        if self.form == "labels":
            return task.has_labels
        is_read = {"question", "context"} <= set(input_fields(task))
        return is_read and not task.has_labels
