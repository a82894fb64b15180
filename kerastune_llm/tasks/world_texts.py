"""Sample rows of the tasks that write text, made from the invented world.

Each function takes `"train"` or `"validation"` and returns rows with the columns of the
task's dataset on the hub.
"""

import functools
import random
import re

from kerastune_llm.tasks.world import SPLITS, Fact, Scene, scenes, squad_sample
from kerastune_llm.tasks.world_facts import ASKED_BY_NAME, CLOSED, RELATIONS

Rows = list[dict]

# Relations whose questions have one answer in a large world: they ask for a name
# by a name.
ONE_ANSWER = ("founding", "river", "captain", "teacher")
FACTS_OF_EACH = 200

# English and German of the same fact.
TRANSLATIONS = {
    "home": ("{person} lives in {town}.", "{person} wohnt in {town}."),
    "founding": ("{person} founded {town}.", "{person} gründete {town}."),
    "river": ("The {river} flows through {town}.", "Die {river} fließt durch {town}."),
    "captain": ("{person} sails the {ship}.", "{person} segelt die {ship}."),
    "teacher": ("{person} taught {person_2}.", "{person} unterrichtete {person_2}."),
}


def unanswerable_rows(split: str) -> Rows:
    """The rows of `squad_sample`, a third of them with the context of another row.

    Nothing that the question names stands in it, and its answers are empty.
    """
    rows = squad_sample(split)
    rng = random.Random(f"unanswerable {split}")
    changed = []
    for row in rows:
        context = rng.choice(rows)["context"]
        named = _named(row["question"]) | set(row["answers"]["text"])
        if rng.random() < 0.4 and not named & set(_words(context)):
            empty = {"text": [], "answer_start": []}
            row = {**row, "context": context, "answers": empty}
        changed.append(row)
    return changed


def _named(question: str) -> set[str]:
    """Words of a question that say what it is about: names and the closed lists'."""
    first, *rest = _words(question)
    closed = {word for words in CLOSED.values() for word in words}
    return {word for word in rest if word[0].isupper() or word in closed}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def closed_book_rows(split: str) -> Rows:
    """Questions about one fixed world: `{"id", "question", "answer"}`.

    There is no text to read the answer from: it must have been learned. Every question
    of the validation rows is asked in training in another wording.

    >>> sorted(closed_book_rows("validation")[0])
    ['answer', 'id', 'question']
    """
    if split not in SPLITS:
        raise ValueError(f"Accepted: {', '.join(SPLITS)}. Received: {split=}")
    chosen = _closed_book()[split]
    return [
        {"id": f"{split}-{number}", "question": question, "answer": [answer]}
        for number, (question, answer) in enumerate(chosen)
    ]


@functools.cache
def _closed_book() -> dict[str, list[tuple[str, str]]]:
    """Questions with their answers; the second wording of some is for validation."""
    rng = random.Random("closed book")
    scene = Scene(rng, held_out=False)
    for relation in ONE_ANSWER * FACTS_OF_EACH:
        scene.add(relation)
    train, again = [], []
    for fact in scene.facts:
        by_answer: dict[str, list[tuple[str, str]]] = {}
        for question, answer in fact.asks():
            by_answer.setdefault(answer, []).append((question, answer))
        for first, second in by_answer.values():
            train.append(first)
            again.append(second)
    rng.shuffle(again)
    count = SPLITS["validation"]
    train += again[count:]
    rng.shuffle(train)
    return {"train": train, "validation": again[:count]}


def dialogue_rows(split: str) -> Rows:
    """Two people ask and answer: `{"id", "dialogue", "summary"}`.

    Validation rows have three summaries each, `summary1` to `summary3`, as the test
    split of DialogSum.
    """
    rows = []
    for row_id, scene in scenes("dialogue", split):
        facts = [scene.add(_relation(scene)) for _ in range(2)]
        turns = []
        for fact in facts:
            turns.append(f"#Person1#: {scene.rng.choice(fact.asks())[0]}")
            turns.append(f"#Person2#: {scene.rng.choice(fact.states())}")
        told = [_told(facts, wording) for wording in scene.rng.sample(range(4), 3)]
        row = {"id": row_id, "dialogue": "\n".join(turns)}
        if split == "train":
            rows.append({**row, "summary": told[0]})
        else:
            named = {f"summary{n}": text for n, text in enumerate(told, start=1)}
            rows.append({**row, **named})
    return rows


def news_rows(split: str) -> Rows:
    """A few facts, the first told again at the end: `{"id", "document", "summary"}`."""
    rows = []
    for row_id, scene in scenes("news", split):
        facts = [scene.add(_relation(scene)) for _ in range(scene.rng.randint(3, 5))]
        sentences = [scene.rng.choice(fact.states()) for fact in facts]
        summary = scene.rng.choice(facts[0].states())
        rows.append({"id": row_id, "document": " ".join(sentences), "summary": summary})
    return rows


def article_rows(split: str) -> Rows:
    """The same with two highlights on two lines: `{"id", "article", "highlights"}`."""
    rows = []
    for row_id, scene in scenes("articles", split):
        facts = [scene.add(_relation(scene)) for _ in range(scene.rng.randint(4, 6))]
        sentences = [scene.rng.choice(fact.states()) for fact in facts]
        highlights = [scene.rng.choice(fact.states()) for fact in facts[:2]]
        rows.append(
            {
                "id": row_id,
                "article": " ".join(sentences),
                "highlights": "\n".join(highlights),
            }
        )
    return rows


def tag_rows(split: str) -> Rows:
    """Questions and what they are about: `{"id", "title", "tags"}`, one to three."""
    rows = []
    for row_id, scene in scenes("tags", split):
        relations = scene.rng.sample(ASKED_BY_NAME, scene.rng.randint(1, 3))
        asked = [scene.rng.choice(scene.add(name).asks())[0] for name in relations]
        rows.append({"id": row_id, "title": " ".join(asked), "tags": relations})
    return rows


def translation_rows(split: str) -> Rows:
    """English and German: `{"id", "translation": {"en", "de"}}`, as in WMT's rows."""
    rows = []
    for row_id, scene in scenes("translation", split):
        chosen = scene.rng.sample(sorted(TRANSLATIONS), scene.rng.randint(1, 3))
        facts = [scene.add(relation) for relation in chosen]
        pairs = [
            [text.format(**fact.slots) for text in TRANSLATIONS[fact.relation]]
            for fact in facts
        ]
        english, german = (" ".join(texts) for texts in zip(*pairs, strict=True))
        rows.append({"id": row_id, "translation": {"en": english, "de": german}})
    return rows


def _relation(scene: Scene) -> str:
    return scene.rng.choice(sorted(RELATIONS))


def _told(facts: list[Fact], wording: int) -> str:
    """A summary of a dialogue in one of the wordings of its facts."""
    said = " ".join(fact.states()[wording] for fact in facts)
    return f"#Person2# tells #Person1#: {said}"
