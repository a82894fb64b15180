"""The passage changes, the question and its answer stay."""

import random

from kerastune_llm.data.augmentation import Augmentation, Others
from kerastune_llm.data.sentences import sentences
from kerastune_llm.registry import AUGMENTATIONS
from kerastune_llm.tasks.task import Row

# Draws of another row until it is given up.
ATTEMPTS = 10


def shuffled(row: Row, others: Others, rng: random.Random) -> Row | None:
    """The context with its sentences in another order."""
    del others
    parts = sentences(row["context"])
    if len(set(parts)) < 2:
        return None
    order = list(parts)
    while order == list(parts):
        rng.shuffle(order)
    return {"context": " ".join(order)}


def with_distractor(row: Row, others: Others, rng: random.Random) -> Row | None:
    """The context with a sentence of another one, which holds no accepted answer."""
    answers = [answer.casefold() for answer in row["references"]]
    parts = sentences(row["context"])
    for _ in range(ATTEMPTS):
        other = others.some_context(row, rng)
        if other is None:
            continue
        sentence = rng.choice(sentences(other) or ("",))
        folded = sentence.casefold()
        is_known = not sentence or sentence in row["context"]
        if not is_known and not any(answer in folded for answer in answers):
            place = rng.randint(0, len(parts))
            return {"context": " ".join([*parts[:place], sentence, *parts[place:]])}
    return None


AUGMENTATIONS.register("shuffle")(
    Augmentation(
        "question answering", shuffled, "the context's sentences in another order"
    )
)
AUGMENTATIONS.register("distractor")(
    Augmentation(
        "question answering",
        with_distractor,
        "a sentence of another context put into the row's own",
    )
)
