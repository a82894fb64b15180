"""Another name for someone or something, in question, context and answers alike."""

import random
import re
from functools import lru_cache

from kerastune_llm.data.augmentation import Augmentation, Others
from kerastune_llm.data.augmentations.passages import ATTEMPTS
from kerastune_llm.registry import AUGMENTATIONS
from kerastune_llm.tasks.task import Row

# Words with a capital after a word without one: not those that a sentence begins with.
_NAME = re.compile(
    r"(?<=[a-z0-9,;] )[A-Z][\w’-]*[a-z][\w’-]*(?: [A-Z][\w’-]*[a-z][\w’-]*)*"
)


@lru_cache(maxsize=20_000)
def names_in(text: str) -> tuple[str, ...]:
    """Names in a text, each once, in the order they come.

    >>> names_in("The river Nile flows past Abu Simbel. It met Ana in 1920.")
    ('Nile', 'Abu Simbel', 'Ana')
    """
    return tuple(dict.fromkeys(_NAME.findall(text)))


def with_other_name(row: Row, others: Others, rng: random.Random) -> Row | None:
    """One name of the row replaced by one of as many words from another context.

    A name that the question or an answer holds, where there is one. It is replaced
    wherever it stands, so that what the row says stays whole.
    """
    texts = [row[field] for field in others.fields]
    asked = "\n".join([row["question"], *row["references"]])
    names = names_in(row["context"])
    name = rng.choice([n for n in names if _stands_in(n, asked)] or names or [""])
    if not name:
        return None
    known = "\n".join([*texts, row["target"], *row["references"]])
    for _ in range(ATTEMPTS):
        other = others.some_context(row, rng)
        found = names_in(other) if other is not None else ()
        alike = [n for n in found if n.count(" ") == name.count(" ") and n not in known]
        if alike:
            return _replaced(row, others, name, rng.choice(alike))
    return None


def _replaced(row: Row, others: Others, name: str, other: str) -> Row:
    pattern = _whole(name)

    def swap(text: str) -> str:
        return pattern.sub(lambda _: other, text)

    changed = {field: swap(row[field]) for field in (*others.fields, "target")}
    return {**changed, "references": [swap(text) for text in row["references"]]}


def _stands_in(name: str, text: str) -> bool:
    return _whole(name).search(text) is not None


def _whole(name: str) -> re.Pattern:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


AUGMENTATIONS.register("entity")(
    Augmentation(
        "question answering",
        with_other_name,
        "a name replaced in question, context and answers together",
    )
)
