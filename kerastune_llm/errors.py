"""Errors that are said without a traceback, and the nearest-name helper they share."""

import difflib
import errno
from collections.abc import Iterable

# What an OSError's number says where there is no room to write.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(ValueError):
    """The user's input is wrong: the command line prints it and exits with 2.

    Args:
        problem: What is wrong, one sentence.
        accepted: What would have been accepted.
        received: What came instead; shown with `repr` unless it is a string.
        mend: The command or the change that mends it.

    Example:
    >>> print(UserError("The rank must be positive.", received=-1))
    The rank must be positive. Received: -1
    """

    def __init__(
        self,
        problem: str,
        *,
        accepted: str | None = None,
        received: object = None,
        mend: str | None = None,
    ) -> None:
        parts = [problem]
        if accepted is not None:
            parts.append(f"Accepted: {accepted}")
        if received is not None:
            shown = received if isinstance(received, str) else repr(received)
            parts.append(f"Received: {shown}")
        if mend is not None:
            parts.append(f"To mend it: {mend}")
        separator = "\n  " if len(" ".join(parts)) > 88 else " "
        super().__init__(separator.join(parts))


class UserErrors(UserError):
    """Several problems reported together, one to a line."""

    def __init__(self, problems: Iterable[Exception | str]) -> None:
        self.problems = tuple(str(problem) for problem in problems)
        if len(self.problems) == 1:
            text = self.problems[0]
        else:
            lines = (f"{n}. {p}" for n, p in enumerate(self.problems, start=1))
            text = f"{len(self.problems)} problems:\n" + "\n".join(lines)
        super().__init__(text)


class JobFailed(RuntimeError):
    """Something else than the input ended the work: the command line exits with 1."""


def nearest(name: str, names: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """The `count` names most like `name`, best first; empty when none is alike.

    Capitals do not count, and those that begin with `name` come after the others.

    >>> nearest("sqad", ["squad", "cola", "squad_v2"])
    ('squad', 'squad_v2')
    >>> nearest("LoRA", ["lora", "dora"]), nearest("cola", ["cola-distilbert", "imdb"])
    (('lora',), ('cola-distilbert',))
    """
    lower = {each.lower(): each for each in names}
    wanted = name.lower()
    if wanted in lower:
        return (lower[wanted],)
    alike = difflib.get_close_matches(wanted, list(lower), n=count, cutoff=0.5)
    begun = sorted(each for each in lower if wanted and each.startswith(wanted))
    return tuple(lower[each] for each in dict.fromkeys([*alike, *begun]))[:count]


def unknown_name(kind: str, name: str, names: Iterable[str]) -> UserError:
    """The error for a name that is not among `names`, with the nearest ones.

    >>> print(unknown_name("task", "sqad", ["squad", "cola"]))
    Unknown task. Did you mean squad? Accepted: cola, squad Received: sqad
    """
    known = sorted(names)
    alike = nearest(name, known)
    hint = f" Did you mean {' or '.join(alike)}?" if alike else ""
    return UserError(f"Unknown {kind}.{hint}", accepted=", ".join(known), received=name)
