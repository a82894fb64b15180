"""Noise that leaves the label as it is: words left out, neighbours changed over."""

import random
from collections.abc import Callable
from functools import partial

from kerastune_llm.data.augmentation import Augmentation, Others
from kerastune_llm.registry import AUGMENTATIONS
from kerastune_llm.tasks.task import Row

# The share of words that are left out, or change places (Wei and Zou 2019,
# arXiv:1901.11196, where 0.1 served best on few rows).
SHARE = 0.1

Words = list[str]


def without_some(words: Words, rng: random.Random) -> Words:
    """A tenth of the words left out, at least one; the last word is never.

    >>> len(without_some("a b c d e f g h i j".split(), random.Random(0)))
    9
    """
    if len(words) < 2:
        return words
    out = set(rng.sample(range(len(words)), _some(words)))
    return [word for place, word in enumerate(words) if place not in out]


def with_neighbours_changed(words: Words, rng: random.Random) -> Words:
    """A tenth of the words, at least one, changed over with the word after it.

    >>> with_neighbours_changed("a a b".split(), random.Random(0))
    ['a', 'b', 'a']
    """
    changed = list(words)
    places = [n for n in range(len(words) - 1) if words[n] != words[n + 1]]
    rng.shuffle(places)
    moved: set[int] = set()
    for place in places:
        # No word moves twice: a second change could undo the first.
        if len(moved) < 2 * _some(words) and not {place, place + 1} & moved:
            changed[place : place + 2] = words[place + 1], words[place]
            moved |= {place, place + 1}
    return changed


def _some(words: Words) -> int:
    return max(1, round(SHARE * len(words)))


def _noisy(
    change: Callable[[Words, random.Random], Words],
    row: Row,
    others: Others,
    rng: random.Random,
) -> Row | None:
    """Every text of the row changed; `None` where none is."""
    texts = {}
    for field in others.fields:
        words = row[field].split()
        changed = change(words, rng)
        texts[field] = " ".join(changed) if changed != words else row[field]
    return texts if any(texts[field] != row[field] for field in texts) else None


AUGMENTATIONS.register("dropout")(
    Augmentation("labels", partial(_noisy, without_some), "a tenth of the words out")
)
AUGMENTATIONS.register("swap")(
    Augmentation(
        "labels",
        partial(_noisy, with_neighbours_changed),
        "a tenth of the words changed over with the next",
    )
)
