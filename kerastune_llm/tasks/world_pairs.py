"""Sample rows of the labelled tasks, made from the invented world.

Each function takes `"train"` or `"validation"` and returns rows with the columns of the
task's dataset on the hub, labels by name. Two wordings of one fact say the same; a fact
with one name put in from another does not.
"""

from collections.abc import Iterable

from kerastune_llm.tasks.world import Fact, Scene, scenes
from kerastune_llm.tasks.world_facts import ASKED_BY_NAME, CLOSED, RELATIONS

Rows = list[dict]

GOOD = [
    "wonderful",
    "charming",
    "brilliant",
    "moving",
    "funny",
    "clever",
    "warm",
    "gripping",
]
BAD = ["dull", "awful", "clumsy", "boring", "tedious", "empty", "noisy", "hopeless"]
REVIEWS = (
    "a {word} film about a {animal} and {person} .",
    "{person} gives a {word} performance .",
    "the story of {person} is {word} from start to end .",
    "{person} made a {other} book into a {word} film .",
)


def sentiment_rows(split: str) -> Rows:
    """Sentences about films: `{"id", "sentence", "label"}`.

    >>> sorted(sentiment_rows("validation")[0])
    ['id', 'label', 'sentence']
    """
    rows = []
    for row_id, scene in scenes("sentiment", split):
        label, words = scene.rng.choice([("positive", GOOD), ("negative", BAD)])
        sentence = scene.rng.choice(REVIEWS).format(
            word=scene.rng.choice(words),
            other=scene.rng.choice(GOOD + BAD),
            animal=scene.rng.choice(CLOSED["animal"]),
            person=scene.add("food").slots["person"],
        )
        rows.append({"id": row_id, "sentence": sentence, "label": label})
    return rows


def review_rows(split: str) -> Rows:
    """The same as reviews of two sentences: `{"id", "text", "label"}`."""
    sentences = sentiment_rows(split)
    by_label = {
        label: [row["sentence"] for row in sentences if row["label"] == label]
        for label in ("positive", "negative")
    }
    rows = []
    for row, (_, scene) in zip(sentences, scenes("reviews", split), strict=True):
        text = f"{row['sentence']} {scene.rng.choice(by_label[row['label']])}"
        rows.append({"id": row["id"], "text": text, "label": row["label"]})
    return rows


def paraphrase_rows(split: str) -> Rows:
    """Two sentences that say the same, or not: `sentence1`, `sentence2`, `label`."""
    rows = []
    for row_id, scene in scenes("paraphrase", split):
        first, second = _two_alike(scene)
        label, fact = scene.rng.choice(
            [("equivalent", first), ("not_equivalent", _swapped(first, second))]
        )
        one, other = scene.rng.sample(range(len(first.states())), 2)
        sentences = first.states()[one], fact.states()[other]
        named = {"sentence1": sentences[0], "sentence2": sentences[1]}
        rows.append({"id": row_id, **named, "label": label})
    return rows


def question_pair_rows(split: str) -> Rows:
    """Two questions with one answer, or not: `question1`, `question2`, `label`."""
    rows = []
    for row_id, scene in scenes("questions", split):
        first, second = _two_alike(scene, ASKED_BY_NAME)
        label, fact = scene.rng.choice(
            [("duplicate", first), ("not_duplicate", second)]
        )
        one, other = scene.rng.sample(range(len(_questions(first))), 2)
        questions = _questions(first)[one], _questions(fact)[other]
        named = {"question1": questions[0], "question2": questions[1]}
        rows.append({"id": row_id, **named, "label": label})
    return rows


def entailment_rows(split: str) -> Rows:
    """What follows from a text and what does not: `sentence1`, `sentence2`, `label`."""
    rows = []
    for row in inference_rows(split):
        is_entailed = row["label"] == "entailment"
        rows.append(
            {
                "id": row["id"],
                "sentence1": row["premise"],
                "sentence2": row["hypothesis"],
                "label": "entailment" if is_entailed else "not_entailment",
            }
        )
    return rows


def inference_rows(split: str) -> Rows:
    """The same in three kinds: `premise`, `hypothesis`, `label`.

    A fact with a name from another fact contradicts; one of another relation is
    neither said nor denied.
    """
    rows = []
    for row_id, scene in scenes("inference", split):
        first, second = _two_alike(scene)
        premise = [scene.rng.choice(fact.states()) for fact in (first, second)]
        label = scene.rng.choice(["entailment", "neutral", "contradiction"])
        hypothesis = {
            "entailment": first,
            "neutral": scene.add(_another(scene, first.relation)),
            "contradiction": _swapped(first, second),
        }[label]
        rows.append(
            {
                "id": row_id,
                "premise": " ".join(premise),
                "hypothesis": scene.rng.choice(hypothesis.states()),
                "label": label,
            }
        )
    return rows


def answer_sentence_rows(split: str) -> Rows:
    """A question and a sentence that answers it, or not: `question`, `sentence`."""
    rows = []
    for row_id, scene in scenes("answer sentence", split):
        first, second = _two_alike(scene)
        label, fact = scene.rng.choice(
            [("entailment", first), ("not_entailment", second)]
        )
        question, _ = scene.rng.choice(first.asks())
        sentence = scene.rng.choice(fact.states())
        rows.append(
            {"id": row_id, "question": question, "sentence": sentence, "label": label}
        )
    return rows


def similarity_rows(split: str) -> Rows:
    """How alike two sentences are, 0 to 5: `sentence1`, `sentence2`, `label`."""
    rows = []
    for row_id, scene in scenes("similarity", split):
        first, second = _two_alike(scene)
        score, other = scene.rng.choice(
            [
                (5.0, first),
                (3.4, _swapped(first, second)),
                (1.6, second),
                (0.0, scene.add(_another(scene, first.relation))),
            ]
        )
        rows.append(
            {
                "id": row_id,
                "sentence1": scene.rng.choice(first.states()),
                "sentence2": scene.rng.choice(other.states()),
                "label": score,
            }
        )
    return rows


def _two_alike(scene: Scene, relations: Iterable[str] = RELATIONS) -> tuple[Fact, Fact]:
    """Two facts of one of the relations; they share no name."""
    relation = scene.rng.choice(sorted(relations))
    return scene.add(relation), scene.add(relation)


def _another(scene: Scene, relation: str) -> str:
    return scene.rng.choice(sorted(set(RELATIONS) - {relation}))


def _swapped(fact: Fact, other: Fact) -> Fact:
    """The fact with its first name put in from another of the same relation."""
    slot = next(iter(fact.slots))
    return Fact(fact.relation, {**fact.slots, slot: other.slots[slot]})


def _questions(fact: Fact) -> list[str]:
    """Its questions about the slot that most of them ask for."""
    asks = fact.asks()
    answers = [answer for _, answer in asks]
    asked = max(answers, key=answers.count)
    return [question for question, answer in asks if answer == asked]
