"""English sentences about everyday things, and ways of making them ungrammatical.

A sentence is a list of `Token`; what a token may be turned into to break the
sentence is stored beside it, so a corruption needs no parser. Pure Python.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """One word: its text, its role and the form that is wrong in its place."""

    text: str
    role: str = ""
    wrong: str = ""


@dataclass(frozen=True)
class NounPhrase:
    """The words of a noun phrase, and whether a verb after it is plural."""

    tokens: list[Token]
    plural: bool


# singular, plural
NOUNS = [
    ("cat", "cats"), ("dog", "dogs"), ("boy", "boys"), ("girl", "girls"),
    ("farmer", "farmers"), ("teacher", "teachers"), ("child", "children"),
    ("woman", "women"), ("man", "men"), ("bird", "birds"), ("horse", "horses"),
    ("student", "students"), ("doctor", "doctors"), ("king", "kings"),
    ("friend", "friends"), ("rabbit", "rabbits"), ("singer", "singers"),
    ("writer", "writers"), ("neighbour", "neighbours"), ("sailor", "sailors"),
]  # fmt: skip
ADJECTIVES = [
    "small", "old", "young", "happy", "tall", "quiet", "clever", "brown", "tired",
    "kind", "hungry", "famous", "brave", "lazy",
]  # fmt: skip
# base, third person, past, participle, -ing: participle and past differ from base
TRANSITIVE = [
    ("see", "sees", "saw", "seen", "seeing"),
    ("like", "likes", "liked", "liked", "liking"),
    ("follow", "follows", "followed", "followed", "following"),
    ("find", "finds", "found", "found", "finding"),
    ("help", "helps", "helped", "helped", "helping"),
    ("know", "knows", "knew", "known", "knowing"),
    ("call", "calls", "called", "called", "calling"),
    ("visit", "visits", "visited", "visited", "visiting"),
    ("watch", "watches", "watched", "watched", "watching"),
    ("teach", "teaches", "taught", "taught", "teaching"),
    ("remember", "remembers", "remembered", "remembered", "remembering"),
    ("draw", "draws", "drew", "drawn", "drawing"),
]
INTRANSITIVE = [
    ("sleep", "sleeps", "slept", "slept", "sleeping"),
    ("sing", "sings", "sang", "sung", "singing"),
    ("laugh", "laughs", "laughed", "laughed", "laughing"),
    ("walk", "walks", "walked", "walked", "walking"),
    ("dance", "dances", "danced", "danced", "dancing"),
    ("wait", "waits", "waited", "waited", "waiting"),
    ("smile", "smiles", "smiled", "smiled", "smiling"),
    ("work", "works", "worked", "worked", "working"),
]
PLACES = [
    "in the garden", "near the river", "at the market", "behind the house",
    "on the bridge", "in the kitchen", "under the tree", "at the school",
]  # fmt: skip
ADVERBS = ["quietly", "often", "slowly", "every day", "again", "together", "here"]
PRONOUNS = [("He", "Him", False), ("She", "Her", False), ("They", "Them", True)]


def _words(text: str) -> list[Token]:
    return [Token(word) for word in text.split()]


def _noun_phrase(rng: random.Random) -> NounPhrase:
    plural = rng.random() < 0.4
    noun = rng.choice(NOUNS)[plural]
    adjective = rng.choice(ADJECTIVES) if rng.random() < 0.35 else ""
    if plural:
        determiner = Token(rng.choice(["the", "some", "two", "many"]), "determiner")
    else:
        article = "an" if (adjective or noun)[0] in "aeiou" else "a"
        text = rng.choice(["the", "the", article, "every"])
        # Only a singular noun cannot do without its determiner.
        determiner = Token(text, "needed determiner")
    tokens = [determiner, *([Token(adjective, "adjective")] if adjective else [])]
    return NounPhrase([*tokens, Token(noun, "noun")], plural)


def _subject(rng: random.Random) -> NounPhrase:
    if rng.random() < 0.2:
        text, wrong, plural = rng.choice(PRONOUNS)
        return NounPhrase([Token(text, "pronoun", wrong)], plural)
    return _noun_phrase(rng)


def _agree(plural: bool, singular_form: str, plural_form: str, role: str) -> Token:
    right, wrong = (
        (plural_form, singular_form) if plural else (singular_form, plural_form)
    )
    return Token(right, role, wrong)


def _verb_phrase(rng: random.Random, plural: bool) -> list[Token]:
    """A verb group that agrees with its subject, with object, place or adverb."""
    transitive = rng.random() < 0.6
    base, third, past, participle, ing = rng.choice(
        TRANSITIVE if transitive else INTRANSITIVE
    )
    group = rng.choice(
        [
            [_agree(plural, third, base, "verb")],
            [_agree(plural, third, base, "verb")],
            [Token(past, "verb", ing)],
            [
                Token(rng.choice(["will", "can", "must"]), "auxiliary"),
                Token(base, "verb", third),
            ],
            [
                _agree(plural, "has", "have", "auxiliary"),
                Token(participle, "verb", base),
            ],
            [_agree(plural, "is", "are", "auxiliary"), Token(ing, "verb", base)],
        ]
    )
    rest = _noun_phrase(rng).tokens if transitive else []
    tail = rng.choice([*PLACES, *ADVERBS]) if rng.random() < 0.5 else ""
    return [*group, *rest, *_words(tail)]


def _statement(rng: random.Random) -> list[Token]:
    subject = _subject(rng)
    return [*subject.tokens, *_verb_phrase(rng, subject.plural)]


def _question(rng: random.Random) -> list[Token]:
    subject = _noun_phrase(rng)
    base, third, past, _, _ = rng.choice(TRANSITIVE)
    if rng.random() < 0.5:
        start = [Token("Did"), *subject.tokens, Token(base, "verb", past)]
    else:
        does = _agree(subject.plural, "Does", "Do", "auxiliary")
        start = [does, *subject.tokens, Token(base, "verb", third)]
    return [*start, *_noun_phrase(rng).tokens, Token("?")]


def _reported(rng: random.Random) -> list[Token]:
    subject, inner = _subject(rng), _noun_phrase(rng)
    says = _agree(subject.plural, *rng.choice([("says", "say"), ("thinks", "think")]),
                  "verb")  # fmt: skip
    return [
        *subject.tokens, says, Token("that"),
        *inner.tokens, *_verb_phrase(rng, inner.plural),
    ]  # fmt: skip


def _relative(rng: random.Random) -> list[Token]:
    subject = _noun_phrase(rng)
    base, third, *_ = rng.choice(TRANSITIVE)
    inner = [Token("who"), _agree(subject.plural, third, base, "verb")]
    obj = _noun_phrase(rng).tokens
    return [*subject.tokens, *inner, *obj, *_verb_phrase(rng, subject.plural)]


def _existence(rng: random.Random) -> list[Token]:
    phrase = _noun_phrase(rng)
    be = _agree(phrase.plural, "is", "are", "verb")
    while phrase.tokens[0].text in ("the", "every"):
        phrase = _noun_phrase(rng)
        be = _agree(phrase.plural, "is", "are", "verb")
    return [Token("There"), be, *phrase.tokens, *_words(rng.choice(PLACES))]


def make_tokens(rng: random.Random) -> list[Token]:
    """Draw one grammatical sentence as tokens, without capital and full stop."""
    pattern = rng.choices(
        [_statement, _question, _reported, _relative, _existence], [6, 1, 1, 1, 1]
    )[0]
    return pattern(rng)


def render(tokens: list[Token]) -> str:
    """Join tokens into a sentence: capital letter, full stop or question mark.

    >>> render([Token("the"), Token("cat"), Token("sleeps")])
    'The cat sleeps.'
    """
    text = " ".join(token.text for token in tokens)
    text = text[:-2] + "?" if text.endswith(" ?") else text + "."
    return text[0].upper() + text[1:]


def _sites(tokens: list[Token], wanted: Callable[[Token], bool]) -> list[int]:
    return [i for i, token in enumerate(tokens) if wanted(token)]


def corrupt(rng: random.Random, tokens: list[Token]) -> list[Token]:
    """Break a grammatical sentence in one place.

    The ways: a wrong form (agreement, tense after an auxiliary, case of a pronoun),
    a missing determiner, a determiner after its noun phrase's next word, a doubled
    verb, a missing verb. Returns a new list.
    """
    ways: list[tuple[str, int]] = []
    ways += [("form", i) for i in _sites(tokens, lambda t: bool(t.wrong))]
    ways += [("drop", i) for i in _sites(tokens, lambda t: t.role.startswith("needed"))]
    ways += [("swap", i) for i in _sites(tokens, lambda t: "determiner" in t.role)]
    ways += [("double", i) for i in _sites(tokens, lambda t: t.role == "verb")]
    # "She has called a dog" would become "She has a dog": keep verbs of auxiliaries.
    ways += [
        ("drop", i)
        for i in _sites(tokens, lambda t: t.role == "verb")
        if tokens[i - 1].role != "auxiliary"
    ]
    # First the way, then the place: wrong forms have the most places.
    way = rng.choice(sorted({name for name, _ in ways}))
    i = rng.choice([place for name, place in ways if name == way])
    if way == "form":
        return [*tokens[:i], Token(tokens[i].wrong), *tokens[i + 1 :]]
    if way == "drop":
        return [*tokens[:i], *tokens[i + 1 :]]
    if way == "swap":
        return [*tokens[:i], tokens[i + 1], tokens[i], *tokens[i + 2 :]]
    return [*tokens[: i + 1], *tokens[i:]]
