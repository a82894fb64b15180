"""Pretraining documents for the starter T5, and their span corruption.

A document tells facts about people and places whose names are new in every document,
and tells some of the facts again in other words: a second statement, or a question
with its answer as it stands in running prose. Corrupting a name that can be found
elsewhere in the document teaches to look up and copy; corrupting any other words
teaches the wording. All of it is self-supervision on plain text, as in T5
(Raffel et al. 2020, section 3.1.4).
"""

from __future__ import annotations

import random
import re
from collections import Counter

import numpy as np
from transformers import T5TokenizerFast

from kerastune_llm.tasks import world, world_grammar
from kerastune_llm.tasks.world_facts import CLOSED, FIRST, LAST, MIDDLE, RELATIONS

Span = tuple[int, int]

MAX_FACTS = 5

# Words of task prefixes and labels: no document has them, the vocabulary must.
TASK_WORDS = (
    "question context answer cola sentence acceptable unacceptable summarize title "
    "text label dialogue summary positive negative true false yes no "
    "question: context: sentence:"
)
_LEADS = ("", "", "", "Someone asked: ", "Tell me. ")


def make_document(
    rng: random.Random, max_facts: int = MAX_FACTS
) -> tuple[str, list[Span]]:
    """Draw a document and the character spans of names that can be recovered.

    It tells one to `max_facts` facts, at most three of them of one relation.

    A span is one mention of a name, in a statement or in the second telling of the
    same fact; the other mention stays, so the gap has one right filling.
    """
    scene = world.Scene(rng, held_out=False)
    relations = rng.sample(sorted(RELATIONS), 3)
    for _ in range(rng.randint(1, max_facts)):
        # Weighted to the first relation, so that names of one kind compete.
        weights = [3 * (len(scene.facts) < 3), 1, 1]
        scene.add(rng.choices(relations, weights)[0])
    first: list[tuple[str, str]] = []
    again: list[tuple[str, str]] = []
    for fact in scene.facts:
        statement, other = rng.sample(fact.states(), 2)
        name = ""
        if rng.random() < 0.6:
            if rng.random() < 0.5:
                ask, name = rng.choice(fact.asks())
                other = f"{rng.choice(_LEADS)}{ask} {name}."
            else:
                name = rng.choice([v for v in fact.slots.values() if v[0].isupper()])
            again.append((other, name))
            # Mostly the second telling has the gap, as a reader would be asked.
            if rng.random() < 0.25:
                again[-1], statement = (other, ""), f"{statement}\0{name}"
        first.append(tuple((statement + "\0").split("\0")[:2]))
    rng.shuffle(first)
    rng.shuffle(again)
    return _join(first + again if rng.random() < 0.4 else again + first)


def _join(parts: list[tuple[str, str]]) -> tuple[str, list[Span]]:
    """Join sentences; the span of a named word is its last occurrence there."""
    text, spans = "", []
    for sentence, name in parts:
        if text:
            text += " "
        if name:
            start = len(text) + sentence.rindex(name)
            spans.append((start, start + len(name)))
        text += sentence
    return text, spans


def make_prose(rng: random.Random) -> str:
    """Draw a few grammatical sentences about everyday things, none of them held out."""
    sentences: list[str] = []
    wanted = rng.randint(3, 6)
    while len(sentences) < wanted:
        text = world_grammar.render(world_grammar.make_tokens(rng))
        if not world.is_held_out(text):
            sentences.append(text)
    return " ".join(sentences)


def _random_spans(rng: random.Random, text: str, share: float) -> list[Span]:
    """Word spans, one to three words each, covering about `share` of the words."""
    words = [match.span() for match in re.finditer(r"\w+", text)]
    spans, left = [], max(1, round(len(words) * share))
    while left > 0:
        length = min(rng.randint(1, 3), left)
        start = rng.randrange(len(words) - length + 1)
        spans.append((words[start][0], words[start + length - 1][1]))
        left -= length
    return spans


def tokenizer_words(seed: str, count: int) -> list[str]:
    """Words to train the tokenizer on: those of all templates, `count` drawn names.

    The names are chains of syllables rather than names of the world, so that the
    tokenizer learns syllables and no name, of any split, is a piece.
    """
    rng = random.Random(seed)
    templates = [
        text
        for relation in RELATIONS.values()
        for text in (*relation.statements, *(ask for ask, _ in relation.questions))
    ]
    plain = " ".join([*templates, *_LEADS, TASK_WORDS, *map(" ".join, CLOSED.values())])
    prose = " ".join(make_prose(rng) for _ in range(count // 4))
    seen = Counter(word for word in plain.split() if "{" not in word)
    words = [w for w, n in seen.items() for _ in range(10 + n)]
    seen = Counter(prose.split())
    words += [w for w, n in seen.items() for _ in range(round(n**0.7))]
    # SentencePiece takes a substring as a candidate only if two different written
    # words contain it; without these "the" or "acceptable" is never one piece.
    stems = sorted({re.sub(r"\W", "", word) for word in words})
    words += [stem + mark for stem in stems for mark in ".?,;"]
    endings = [ending for kind in LAST.values() for ending in kind]
    for _ in range(count):
        middle = rng.choice(["", "", "", rng.choice(MIDDLE)])
        words.append(rng.choice(FIRST) + middle + rng.choice(endings) + ".")
    rng.shuffle(words)
    return words


def _corrupt(
    ids: list[int], offsets: list[Span], spans: list[Span], sentinels: list[int]
) -> tuple[list[int], list[int]]:
    """Replace the tokens inside the character spans by sentinels, T5's way.

    Tokens that touch each other in two spans become one gap. Returns input ids and
    target ids without end marks.
    """
    gap = [any(s < end and start < e for s, e in spans) for start, end in offsets]
    inputs: list[int] = []
    targets: list[int] = []
    used = -1
    for position, token in enumerate(ids):
        if not gap[position]:
            inputs.append(token)
            continue
        if position == 0 or not gap[position - 1]:
            used += 1
            inputs.append(sentinels[used])
            targets.append(sentinels[used])
        targets.append(token)
    return inputs, targets


def make_examples(
    rng: random.Random,
    tokenizer: T5TokenizerFast,
    count: int,
    input_tokens: int,
    target_tokens: int,
    max_facts: int = MAX_FACTS,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` corrupted documents as padded ids.

    Most documents tell facts and lose names, and sometimes other words; the others,
    15 % of full-length ones and 5 % of shorter ones, are prose that loses 15 % of its
    words. Documents that do not fit are drawn anew. Returns inputs
    `[count, input_tokens]` padded with 0 and targets
    `[count, target_tokens]` padded with -100, both int32 and ended by `</s>`.
    """
    inputs = np.zeros((count, input_tokens), np.int32)
    targets = np.full((count, target_tokens), -100, np.int32)
    sentinels = tokenizer.convert_tokens_to_ids(
        [f"<extra_id_{i}>" for i in range(target_tokens)]
    )
    share = 0.95 if max_facts < MAX_FACTS else 0.85
    filled = 0
    while filled < count:
        texts, spans = [], []
        for _ in range(count - filled):
            text, gaps = (
                make_document(rng, max_facts) if rng.random() < share else ("", [])
            )
            text = text or make_prose(rng)
            if not gaps or rng.random() < 0.15:
                gaps = gaps + _random_spans(rng, text, 0.06 if gaps else 0.15)
            texts.append(text)
            spans.append(gaps)
        encoded = tokenizer(
            texts, add_special_tokens=False, return_offsets_mapping=True
        )
        for ids, offsets, gaps in zip(
            encoded["input_ids"], encoded["offset_mapping"], spans, strict=True
        ):
            source, target = _corrupt(ids, offsets, gaps, sentinels)
            if len(source) >= input_tokens or len(target) >= target_tokens:
                continue
            source.append(tokenizer.eos_token_id)
            target.append(tokenizer.eos_token_id)
            inputs[filled, : len(source)] = source
            targets[filled, : len(target)] = target
            filled += 1
    return inputs, targets
