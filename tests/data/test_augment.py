"""Made rows: reproducible, and true to their label or answer."""

import re
from collections import Counter

import pytest

from kerastune_llm.data.augment import augment, check_kinds, keeps_answer
from kerastune_llm.data.augmentations.entity import names_in
from kerastune_llm.data.sentences import sentences
from kerastune_llm.data.sources import load_rows
from kerastune_llm.errors import UserError
from kerastune_llm.registry import AUGMENTATIONS
from kerastune_llm.tasks.custom import configure_task
from kerastune_llm.tasks.task import get_task

QA = ("question", "shuffle", "distractor", "entity")
NOISE = ("dropout", "swap")
ROWS = 60


@pytest.fixture(scope="module")
def squad():
    return load_rows(get_task("squad_v2"), "train", max_rows=ROWS)


def made_by(kind, rows, task="squad_v2", seed=0):
    """Pairs of a row and what was made of it, and the counts."""
    result, [made] = augment(rows, get_task(task), [kind], seed=seed)
    assert result[: len(rows)] == rows[:]
    assert result.features == rows.features
    assert len(result) == len(rows) + made.made
    assert made.made + made.unchanged + made.answer_lost == len(rows)
    origins = {row["id"]: row for row in rows}
    new = [result[n] for n in range(len(rows), len(result))]
    assert all(row["id"].endswith(f"/{kind}") for row in new)
    return [(origins[row["id"].rsplit("/", 1)[0]], row) for row in new], made


def test_every_kind_is_tested_here():
    assert set(AUGMENTATIONS.names()) == {*QA, *NOISE}


@pytest.mark.parametrize("kind", QA)
def test_the_answer_stays_in_the_context(kind, squad):
    pairs, made = made_by(kind, squad)
    assert made.made > ROWS / 2
    for old, new in pairs:
        assert new != {**old, "id": new["id"]}
        assert len(new["references"]) == len(old["references"])
        assert bool(new["target"]) == bool(old["target"])
        assert all(answer in new["context"] for answer in new["references"])
    assert any(not new["target"] for _, new in pairs)


def test_a_question_is_asked_in_other_words(squad):
    pairs, _ = made_by("question", squad)
    for old, new in pairs:
        assert new["question"] != old["question"]
        # What it is about is still named.
        assert set(names_in(old["question"])) <= set(names_in(new["question"]))
        assert {**new, "question": old["question"], "id": old["id"]} == old


def test_shuffling_keeps_every_sentence(squad):
    pairs, made = made_by("shuffle", squad)
    for old, new in pairs:
        before, after = sentences(old["context"]), sentences(new["context"])
        assert Counter(before) == Counter(after) and before != after
    alone = sum(len(set(sentences(text))) < 2 for text in squad["context"])
    assert made.unchanged == alone


def test_a_distractor_is_one_foreign_sentence_without_the_answer(squad):
    contexts = list(squad["context"])
    for old, new in made_by("distractor", squad)[0]:
        extra = Counter(sentences(new["context"])) - Counter(sentences(old["context"]))
        [sentence] = extra.elements()
        assert any(sentence in text for text in contexts if text != old["context"])
        assert not any(answer in sentence for answer in old["references"])


def test_an_entity_is_replaced_everywhere_and_by_nothing_known(squad):
    answers_changed = 0
    for old, new in made_by("entity", squad)[0]:
        [name] = set(re.findall(r"\w+", old["context"])) - set(
            re.findall(r"\w+", new["context"])
        )
        [other] = set(re.findall(r"\w+", new["context"])) - set(
            re.findall(r"\w+", old["context"])
        )
        for column in ("question", "context", "target"):
            assert new[column] == re.sub(rf"\b{name}\b", other, old[column])
        answers_changed += new["target"] != old["target"]
    assert answers_changed > 5


@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize("task", ["imdb", "mrpc"])
def test_noise_keeps_label_and_words(kind, task):
    rows = load_rows(get_task(task), "train", max_rows=30)
    pairs, made = made_by(kind, rows, task)
    assert made.made == 30
    texts = [name for name in rows.column_names if name not in ("id", "label")]
    for old, new in pairs:
        assert new["label"] == old["label"]
        for name in texts:
            before, after = Counter(old[name].split()), Counter(new[name].split())
            if kind == "swap":
                assert after == before and new[name].split() != old[name].split()
            else:
                left_out = max(1, round(0.1 * before.total()))
                assert after <= before and after.total() == before.total() - left_out


@pytest.mark.parametrize("kind", QA)
def test_the_seed_decides(kind, squad):
    rows = squad.select(range(20))
    one, again, other = (
        augment(rows, get_task("squad_v2"), [kind], seed=seed)[0][:]
        for seed in (1, 1, 2)
    )
    assert one == again != other


def test_several_kinds_are_made_each_by_itself(squad):
    task, rows = get_task("squad_v2"), squad.select(range(20))
    both, counts = augment(rows, task, ["shuffle", "question"], seed=0)
    alone, _ = augment(rows, task, ["question"], seed=0)
    assert both[len(rows) + counts[0].made :] == alone[len(rows) :]


def test_an_answer_across_sentences_is_lost_and_its_row_dropped(tmp_path):
    # "Oslo. Bergen" stands across the only boundary there is.
    bad = '{"question": "q", "context": "In Oslo. Bergen rains.", "answers": ["%s"]}'
    lines = [bad % answer for answer in ("Oslo. Bergen", "Bergen", "In Oslo", "gone")]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(lines))
    rows = load_rows(get_task("squad"), "train", source="files", path=file)
    result, [made] = augment(rows, get_task("squad"), ["shuffle"], seed=0)
    assert (made.made, made.answer_lost) == (2, 2)
    assert "2 rows made, 2 dropped (2 without their answer in the context)" in str(made)
    assert result["context"][4:] == ["Bergen rains. In Oslo."] * 2
    assert all(keeps_answer(rows[n], result[n + 3]) for n in (1, 2))
    for place in (0, 3):
        with pytest.raises(UserError, match="(?s)dropped every row.*To mend it: leave"):
            augment(rows.select([place]), get_task("squad"), ["shuffle"], seed=0)


def test_kinds_that_do_not_fit_are_refused_with_those_that_do():
    with pytest.raises(UserError) as caught:
        check_kinds(get_task("cola"), ["shuffle", "swap", "entity"])
    text = str(caught.value)
    assert "The augmentation shuffle does not fit the task cola" in text
    assert "The augmentation entity" in text and "augmentation swap" not in text
    assert "Accepted: dropout, swap" in text
    with pytest.raises(UserError, match="distractor, entity, question, shuffle"):
        check_kinds(get_task("squad"), ["dropout"])
    with pytest.raises(UserError, match="Accepted: none"):
        check_kinds(get_task("dialogsum"), ["shuffle"])
    own = configure_task(
        get_task("custom"),
        input_template="{question} {context}",
        target_template="{answer}",
        columns={"question": "q", "context": "c"},
    )
    check_kinds(own, QA)
