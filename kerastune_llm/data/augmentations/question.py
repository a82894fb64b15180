"""Questions in other words, by rules and frames; no dictionary is needed."""

import random
import re

from kerastune_llm.data.augmentation import Augmentation, Others
from kerastune_llm.registry import AUGMENTATIONS
from kerastune_llm.tasks.task import Row

# The meaning stays: only the words that ask change.
_RULES = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"^(?:In what|What) year\b", "In which year"),
        (r"^(?:In which|Which) year\b", "In what year"),
        (r"^What (\w+) (is|was|are|were|did|does|do|has|had)\b", r"Which \1 \2"),
        (r"^Which\b", "What"),
        (r"^(In|On|At|For|By|To|From) what\b", r"\1 which"),
        (r"^(In|On|At|For|By|To|From) which\b", r"\1 what"),
        (r"^What's\b", "What is"),
        (r"^Who's\b", "Who is"),
        (r"^Why (is|was|are|were|did|does|do|has|had)\b", r"For what reason \1"),
        (r"^Where (is|was|are|were|did|does|do|has|had)\b", r"In what place \1"),
        (r"^When (did|does|do|was|were|is|are)\b", r"At what time \1"),
        (r"^How many\b", "What number of"),
        (r"^Who (is|was|did|does|has|had)\b", r"Which person \1"),
    )
)
_FRAMES = (
    "According to the text, {question}",
    "Can you tell me: {question}",
    "From what is written here: {question}",
    "Please say: {question}",
)
_ASKING = re.compile(
    r"^(?:What|Which|Who|Whom|Whose|When|Where|Why|How|In|On|At|For|By|To|From|Is|Was|"
    r"Are|Were|Did|Does|Do|Has|Had|Can)\b"
)


def reworded(row: Row, others: Others, rng: random.Random) -> Row | None:
    """The question by one of the rules that fit it, or in a frame."""
    del others
    question = row["question"].strip()
    if not question:
        return None
    by_rule = [p.sub(text, question) for p, text in _RULES if p.search(question)]
    lowered = question
    if _ASKING.match(question):
        lowered = question[0].lower() + question[1:]
    framed = [frame.format(question=lowered) for frame in _FRAMES]
    # A rule as often as a frame, where there is one.
    return {"question": rng.choice(rng.choice([by_rule or framed, framed]))}


AUGMENTATIONS.register("question")(
    Augmentation("question answering", reworded, "the question in other words")
)
