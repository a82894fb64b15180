"""The vocabulary of the invented world: syllables, closed word lists, relations.

Tables only; `kerastune_llm.tasks.world` draws facts, texts and task rows from them.
"""

from __future__ import annotations

from dataclasses import dataclass


def _words(text: str) -> list[str]:
    return text.split()


# A name is FIRST + (MIDDLE or nothing) + LAST of its kind.
FIRST = _words(
    "Al Bal Bel Bor Bren Cal Cor Dal Del Dor El Fal Fen Fin Gar Gel Hal Hel Hol Il Is "
    "Jal Jor Kal Kel Kes Kor Lan Lor Lun Mal Mar Mel Mon Nel Nor Ol Or Pal Pel Per "
    "Quin Ral Ren Ros Sal Sel Sol Tal Tel Tor Ul Val Var Vel Wen Wil Yar Zan Zel"
)
MIDDLE = _words("a ba da do ga go ka ki la lo ma mi na ni ra ri sa so ta ti va vi za")
LAST = {
    "person": _words("na ric la do mir lin ra sa win bert dra ko ny tis bo"),
    "town": _words("ton ford wick by dale stead mouth burg port ham field"),
    "river": _words("wen lo rin dee mere brook sey nar tle ver"),
    "ship": _words("dor star wing gale nix ria tan vor bella quest"),
    "pet": _words("py ky mo zo bit lu fy gi tty chi"),
    "festival": _words("fest tide mas light song feast morn day"),
}

# Words from a closed list: they occur in every split and are never an answer.
CLOSED = {
    kind: _words(words)
    for kind, words in {
        "job": "baker farmer doctor teacher painter tailor miller guard cook judge "
        "carpenter fisherman",
        "animal": "cat dog horse goat parrot rabbit donkey goose pony turtle",
        "thing": "lamp clock ring letter map basket knife carpet mirror key coin drum",
        "food": "soup bread cheese apples honey rice fish cake plums nuts",
        "instrument": "flute violin piano trumpet guitar harp organ horn",
        "month": "January February March April May June July August September October "
        "November December",
        "colour": "red blue green white black yellow brown grey",
    }.items()
}


@dataclass(frozen=True)
class Relation:
    """One kind of fact: its wordings and its questions with the slot that answers.

    A slot is written `{kind}`, or `{kind_2}` for a second entity of the same kind.
    """

    statements: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]


RELATIONS = {
    "home": Relation(
        ("{person} lives in {town}.", "{person} has a house in {town}.",
         "The home of {person} is in {town}.", "{town} is home to {person}."),
        (("Where does {person} live?", "town"), ("Who lives in {town}?", "person"),
         ("In which town is the home of {person}?", "town"),
         ("Who has a house in {town}?", "person")),
    ),
    "job": Relation(
        ("{person} works as a {job}.", "The name of the {job} is {person}.",
         "{person} earns a living as a {job}.", "The {job} is called {person}."),
        (("Who is the {job}?", "person"), ("Who works as a {job}?", "person"),
         ("What is the name of the {job}?", "person")),
    ),
    "pet": Relation(
        ("{person} has a {animal} named {pet}.", "{pet} is the {animal} of {person}.",
         "The {animal} {pet} belongs to {person}.",
         "{person} is the owner of a {animal} called {pet}."),
        (("What is the name of the {animal}?", "pet"),
         ("Who owns the {animal}?", "person"), ("Who is the owner of {pet}?", "person"),
         ("What is the {animal} of {person} called?", "pet")),
    ),
    "founding": Relation(
        ("{person} founded {town}.", "{town} was founded by {person}.",
         "The founder of {town} was {person}.", "{person} built the town of {town}."),
        (("Who founded {town}?", "person"), ("Which town did {person} found?", "town"),
         ("Who was the founder of {town}?", "person"),
         ("What is the town that {person} built?", "town")),
    ),
    "river": Relation(
        ("The {river} flows through {town}.", "{town} lies on the river {river}.",
         "The river at {town} is the {river}.", "The {river} passes by {town}."),
        (("Which river flows through {town}?", "river"),
         ("What is the river at {town} called?", "river"),
         ("Which town lies on the {river}?", "town"),
         ("Through which town does the {river} flow?", "town")),
    ),
    "captain": Relation(
        ("{person} is the captain of the {ship}.", "The {ship} is sailed by {person}.",
         "{person} sails a ship called the {ship}.",
         "The captain of the {ship} is {person}."),
        (("Who is the captain of the {ship}?", "person"),
         ("Who sails the {ship}?", "person"),
         ("Which ship does {person} sail?", "ship"),
         ("What is the ship of {person} called?", "ship")),
    ),
    "gift": Relation(
        ("{person} gave the {thing} to {person_2}.",
         "{person_2} got the {thing} from {person}.",
         "The {thing} was a gift from {person} to {person_2}.",
         "{person_2} was given the {thing} by {person}."),
        (("Who gave the {thing} to {person_2}?", "person"),
         ("Who got the {thing}?", "person_2"),
         ("From whom did {person_2} get the {thing}?", "person"),
         ("To whom did {person} give the {thing}?", "person_2")),
    ),
    "food": Relation(
        ("{person} likes {food}.", "{person} is fond of {food}.",
         "The favourite food of {person} is {food}.", "{person} loves to eat {food}."),
        (("Who likes {food}?", "person"), ("Who is fond of {food}?", "person"),
         ("Who loves to eat {food}?", "person")),
    ),
    "music": Relation(
        ("{person} plays the {instrument}.", "{person} is good at the {instrument}.",
         "The {instrument} is played by {person}.",
         "{person} learned to play the {instrument}."),
        (("Who plays the {instrument}?", "person"),
         ("Who is good at the {instrument}?", "person"),
         ("Who learned to play the {instrument}?", "person")),
    ),
    "teacher": Relation(
        ("{person} taught {person_2}.", "{person_2} was taught by {person}.",
         "{person} was the teacher of {person_2}.",
         "{person_2} learned everything from {person}."),
        (("Who taught {person_2}?", "person"), ("Whom did {person} teach?", "person_2"),
         ("Who was the teacher of {person_2}?", "person"),
         ("Who learned everything from {person}?", "person_2")),
    ),
    "festival": Relation(
        ("{town} holds the {festival} in {month}.",
         "The {festival} of {town} is in {month}.",
         "In {month} people celebrate the {festival} in {town}.",
         "The {festival} takes place in {town} in {month}."),
        (("Which town holds the {festival}?", "town"),
         ("What do people celebrate in {month}?", "festival"),
         ("Where does the {festival} take place?", "town"),
         ("Which festival is in {month}?", "festival")),
    ),
    "journey": Relation(
        ("{person} moved to {town} in {month}.", "In {month} {person} came to {town}.",
         "{person} went to {town} in {month}.", "{town} welcomed {person} in {month}."),
        (("Who moved to {town}?", "person"), ("Where did {person} go?", "town"),
         ("Who came to {town} in {month}?", "person"),
         ("Which town welcomed {person}?", "town")),
    ),
    "door": Relation(
        ("The {colour} house belongs to {person}.", "{person} owns the {colour} house.",
         "{person} painted the house {colour}.",
         "The owner of the {colour} house is {person}."),
        (("Who owns the {colour} house?", "person"),
         ("To whom does the {colour} house belong?", "person"),
         ("Who painted the house {colour}?", "person")),
    ),
}  # fmt: skip

# Relations of which every question holds a name, so none is asked in both splits.
ASKED_BY_NAME = ("captain", "founding", "home", "journey", "river", "teacher")
