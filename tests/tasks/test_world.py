"""The generated samples: answers are spans, splits share nothing, rows never change."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kerastune_llm.tasks import world, world_grammar
from kerastune_llm.tasks.world_facts import RELATIONS

ROOT = Path(__file__).parents[2]


def words_of(rows: list[dict]) -> set[str]:
    return set(re.findall(r"\w+", " ".join(r["context"] + r["question"] for r in rows)))


@pytest.mark.parametrize(("split", "count"), [("train", 2000), ("validation", 300)])
def test_squad_rows_have_the_hub_form_and_literal_answers(split, count):
    rows = world.squad_sample(split)
    assert len(rows) == count == len({row["id"] for row in rows})
    for row in rows:
        assert list(row) == ["id", "title", "context", "question", "answers"]
        [text], [start] = row["answers"]["text"], row["answers"]["answer_start"]
        assert re.match(rf"\b{text}\b", row["context"][start:])
        assert text not in row["question"]
        assert text not in row["title"]
        assert 2 <= len(re.findall(r"\.(?: |$)", row["context"])) <= 5
        assert row["question"].endswith("?")


def test_squad_contexts_hold_rivals_of_the_answer():
    facts = RELATIONS["home"].questions
    rows = [r for r in world.squad_sample("validation") if r["title"] == "Home"]
    assert facts
    assert rows
    for row in rows:
        assert len(re.findall(r"lives in|has a house|home", row["context"])) >= 2


def test_no_answer_of_validation_is_seen_in_training():
    train = words_of(world.squad_sample("train"))
    for row in world.squad_sample("validation"):
        answer = row["answers"]["text"][0]
        assert world.is_held_out(answer)
        assert answer not in train


def test_names_fall_on_the_side_that_was_asked_for():
    rng = random.Random(3)
    for kind in ("person", "town", "pet"):
        for held_out in (True, False):
            names = [world.make_name(rng, kind, held_out=held_out) for _ in range(50)]
            assert {world.is_held_out(name) for name in names} == {held_out}


def test_every_relation_renders_and_is_answered_by_a_name():
    for relation in RELATIONS:
        fact = world.Scene(random.Random(1), held_out=False).add(relation)
        assert "{" not in "".join(fact.states())
        for question, answer in fact.asks():
            assert "{" not in question
            assert answer[0].isupper()
            assert all(answer in statement for statement in fact.states())


@pytest.mark.parametrize(("split", "count"), [("train", 2000), ("validation", 300)])
def test_cola_rows_are_balanced_and_distinct(split, count):
    rows = world.cola_sample(split)
    assert len(rows) == count == len({row["sentence"] for row in rows})
    assert {tuple(row) for row in rows} == {("id", "sentence", "label")}
    assert {row["label"] for row in rows} == {0, 1}
    assert 0.5 <= sum(row["label"] for row in rows) / count <= 0.7


def test_cola_splits_share_no_sentence():
    train, validation = (
        {row["sentence"] for row in world.cola_sample(split)} for split in world.SPLITS
    )
    assert not train & validation


def test_a_corruption_changes_the_sentence():
    rng = random.Random(5)
    for _ in range(500):
        tokens = world_grammar.make_tokens(rng)
        broken = world_grammar.corrupt(rng, tokens)
        assert world_grammar.render(broken) != world_grammar.render(tokens)


def test_an_unknown_split_names_the_known_ones():
    for sample in (world.squad_sample, world.cola_sample):
        with pytest.raises(ValueError, match=r"train, validation.*split='test'"):
            sample("test")


def digest() -> str:
    rows = [world.squad_sample(s) + world.cola_sample(s) for s in world.SPLITS]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def test_rows_are_the_same_in_another_process():
    code = "from tests.tasks.test_world import digest; print(digest())"
    for seed in ("1", "77"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == digest()
