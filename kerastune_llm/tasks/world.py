"""A small invented world in English, and the sample rows of two tasks made from it.

People, towns, rivers, ships, pets and festivals stand in relations ("{person}
lives in {town}"), each with several wordings and questions. Names are put together
from syllables, so there is no end of new ones. Everything is drawn from
`random.Random` with fixed seeds: the same rows in every process, no TensorFlow.

One rule keeps the splits apart: `is_held_out(text)`. A name or a sentence
for which it is true occurs in validation rows only; training rows and the pretraining
text of the bundled starter model use the others only.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from kerastune_llm.tasks import world_grammar
from kerastune_llm.tasks.world_facts import CLOSED, FIRST, LAST, MIDDLE, RELATIONS

SPLITS = {"train": 2000, "validation": 300}


@dataclass(frozen=True)
class Fact:
    """A relation with a value for each of its slots."""

    relation: str
    slots: dict[str, str]

    def states(self) -> list[str]:
        """Every wording of this fact."""
        return [s.format(**self.slots) for s in RELATIONS[self.relation].statements]

    def asks(self) -> list[tuple[str, str]]:
        """Every question about this fact with its answer, always a name."""
        questions = RELATIONS[self.relation].questions
        return [(q.format(**self.slots), self.slots[slot]) for q, slot in questions]


def is_held_out(text: str) -> bool:
    """Whether a name or a sentence is kept for validation (one in five).

    >>> is_held_out("Holloton"), is_held_out("Jorham")
    (True, False)
    """
    return zlib.crc32(text.encode()) % 5 == 0


def make_name(rng: random.Random, kind: str, *, held_out: bool) -> str:
    """Draw a name of two or three syllables on one side of `is_held_out`."""
    while True:
        middle = rng.choice(MIDDLE) if rng.random() < 0.25 else ""
        name = rng.choice(FIRST) + middle + rng.choice(LAST[kind])
        if is_held_out(name) == held_out:
            return name


def _slots(relation: str) -> list[str]:
    text = " ".join(RELATIONS[relation].statements[0].split("{")[1:])
    return [part.split("}")[0] for part in text.split() if "}" in part]


class Scene:
    """The facts of one document; no value stands twice in the same relation."""

    def __init__(self, rng: random.Random, *, held_out: bool) -> None:
        self.rng = rng
        self.held_out = held_out
        self.facts: list[Fact] = []

    def add(self, relation: str) -> Fact:
        """Add a fact; a name of the scene returns where the relation lacks it."""
        taken = {v for f in self.facts if f.relation == relation
                 for v in f.slots.values()}  # fmt: skip
        slots: dict[str, str] = {}
        for slot in _slots(relation):
            slots[slot] = self._value(slot.split("_")[0], taken)
            taken.add(slots[slot])
        fact = Fact(relation, slots)
        self.facts.append(fact)
        return fact

    def _value(self, kind: str, taken: set[str]) -> str:
        known = {v for f in self.facts for s, v in f.slots.items()
                 if s.split("_")[0] == kind}  # fmt: skip
        if kind in CLOSED:
            return self.rng.choice([w for w in CLOSED[kind] if w not in taken])
        free = sorted(known - taken)
        if free and self.rng.random() < 0.4:
            return self.rng.choice(free)
        everything = {v for f in self.facts for v in f.slots.values()} | taken
        while (name := make_name(self.rng, kind, held_out=self.held_out)) in everything:
            continue
        return name


def _check(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(
            f"Unknown split. Accepted: {', '.join(SPLITS)}. Received: split={split!r}"
        )


def scenes(name: str, split: str) -> Iterator[tuple[str, Scene]]:
    """The id of every row of a sample, and an empty scene to make the row from.

    Args:
        name: The sample's; it decides what is drawn.
        split: `"train"` or `"validation"`; no name is in both.

    Raises:
        ValueError: Another split.
    """
    _check(split)
    rng = random.Random(f"{name} {split}")
    for number in range(SPLITS[split]):
        yield f"{split}-{number}", Scene(rng, held_out=split == "validation")


def squad_sample(split: str) -> list[dict]:
    """Question answering rows in the flat SQuAD form of the Hugging Face hub.

    A context states two or three facts of the relation asked about, and up to two
    others, so several names of the right kind compete. 2000 rows for `"train"`, 300
    for `"validation"`; no name is in both. Raises `ValueError` otherwise.

    >>> sorted(squad_sample("validation")[0])
    ['answers', 'context', 'id', 'question', 'title']
    """
    _check(split)
    rng = random.Random(f"squad {split}")
    rows = []
    for number in range(SPLITS[split]):
        scene = Scene(rng, held_out=split == "validation")
        relation = rng.choice(sorted(RELATIONS))
        asked = [scene.add(relation) for _ in range(rng.randint(2, 3))]
        others = sorted(set(RELATIONS) - {relation})
        for other in rng.sample(others, rng.randint(0, 2)):
            scene.add(other)
        sentences = [rng.choice(fact.states()) for fact in scene.facts]
        rng.shuffle(sentences)
        context = " ".join(sentences)
        question, answer = rng.choice(rng.choice(asked).asks())
        rows.append({
            "id": f"{split}-{number}",
            "title": relation.capitalize(),
            "context": context,
            "question": question,
            "answers": {"text": [answer], "answer_start": [context.index(answer)]},
        })  # fmt: skip
    return rows


def cola_sample(split: str) -> list[dict]:
    """Acceptability rows `{"id", "sentence", "label"}`; 1 is acceptable, 0 is not.

    About 60 % are acceptable; the others have one fault. 2000 rows for `"train"`,
    300 for `"validation"`; no sentence, and no sentence that a fault was put into,
    is in both. Raises `ValueError` for another split.
    """
    _check(split)
    rng = random.Random(f"cola {split}")
    held_out = split == "validation"
    rows: list[dict] = []
    seen: set[str] = set()
    label = 1
    while len(rows) < SPLITS[split]:
        tokens = world_grammar.make_tokens(rng)
        shown = tokens if label else world_grammar.corrupt(rng, tokens)
        texts = {world_grammar.render(tokens), world_grammar.render(shown)}
        if any(is_held_out(text) != held_out or text in seen for text in texts):
            continue
        seen |= texts
        sentence = world_grammar.render(shown)
        rows.append({"id": f"{split}-{len(rows)}", "sentence": sentence,
                     "label": label})  # fmt: skip
        # Drawn after a row is found: faulty sentences are refused more often.
        label = int(rng.random() < 0.6)
    return rows
