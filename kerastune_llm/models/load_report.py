"""What loading did with the names of a checkpoint, for the log and for tests."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class LoadReport:
    """What became of the names of a checkpoint and of the model.

    Args:
        loaded: How many variables were read.
        missing: Names the checkpoint does not have: newly initialised.
        mismatched: `name: [stored shape] here [own shape]`: newly initialised.
        unexpected: Names of another task's head, which the model has no place for.
        unplaced: Names that look like the model's body and have no place in it.
        copied: `name from name`: an untied T5 that was saved with one matrix.

    Example:
    >>> list(LoadReport(loaded=199, missing=("classifier.bias",)).words())
    ['199 weights read', 'newly initialised, to be trained: classifier.bias']
    """

    loaded: int = 0
    missing: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()

    @property
    def new(self) -> frozenset[str]:
        """Names of the weights that no checkpoint has given.

        >>> sorted(LoadReport(missing=("a",), mismatched=("b: [2] here [3]",)).new)
        ['a', 'b']
        """
        names = (each.partition(":")[0] for each in self.mismatched)
        return frozenset(self.missing).union(names)

    def words(self) -> Iterator[str]:
        """The report, a line for each thing worth saying."""
        yield f"{self.loaded} weights read"
        for words, names in (
            ("newly initialised, to be trained", self.missing),
            ("newly initialised, the checkpoint's have another shape", self.mismatched),
            ("copied, the checkpoint has one matrix for both", self.copied),
            ("of another task's head, not used", self.unexpected),
            ("without a place in the model of config.json", self.unplaced),
        ):
            if names:
                yield f"{words}: {shown(names)}"


def shown(names: Iterable[str], count: int = 6) -> str:
    """The first few names and how many more there are.

    >>> shown(["a", "b", "c"], count=2)
    'a, b and 1 more'
    """
    names = list(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
