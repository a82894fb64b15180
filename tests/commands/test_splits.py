"""What a run trains and validates on: held out, few, or made of others."""

import json
import logging

import pytest

from kerastune_llm.commands.job import assemble
from kerastune_llm.commands.splits import training_and_validation
from kerastune_llm.commands.validation_rows import has_validation
from kerastune_llm.config import RunConfig
from kerastune_llm.data.augment import keeps_answer
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.world import squad_sample


def parts(task, **data):
    """The training and validation rows of a run of the bundled starter."""
    job = assemble(RunConfig.parse({"task": task, "data": data}))
    return training_and_validation(job)[1:]


@pytest.fixture(scope="module")
def articles(tmp_path_factory):
    """SQuAD rows, four questions to a text and ten texts to an article."""
    file = tmp_path_factory.mktemp("data") / "squad.jsonl"
    rows = squad_sample("train")[:60]
    lines = [
        {**row, "title": f"Article {n // 10}", "id": f"{n}.{question}"}
        for n, row in enumerate(rows)
        for question in range(4)
    ]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return file


def test_what_is_held_out_is_neither_trained_on_nor_made_rows_of(articles, caplog):
    kinds = ("question", "shuffle")
    with caplog.at_level(logging.INFO, "kerastune_llm"):
        train, held = parts("squad", train=articles, augment=kinds)
    # Four questions to each of ten texts: one article of the six is nearest to 24.
    assert len(held) == 40 and len(set(held["group"])) == 1
    assert not set(held["group"]) & set(train["group"])
    assert not any("/" in row_id for row_id in held["id"])
    made = [row for row in train if "/" in row["id"]]
    assert len(train) - len(made) == 200 and len(made) > 200
    assert all(keeps_answer(row, row) for row in made)
    for kind in kinds:
        count = sum(row["id"].endswith(f"/{kind}") for row in made)
        assert (
            f"augment {kind}: {count} rows made, {200 - count} dropped" in caplog.text
        )


def test_few_rows_keep_the_labels_shares():
    everything, _ = parts("cola")
    few, _ = parts("cola", max_train_samples=31)
    share = sum(everything["label"]) / len(everything)
    assert len(few) == 31 and abs(sum(few["label"]) - 31 * share) < 1
    more, _ = parts("cola", max_train_samples=31, augment="swap")
    assert more["id"][:31] == few["id"][:] and more["label"][31:] == few["label"][:]


def test_a_kind_that_does_not_fit_is_refused_before_rows_are_read(tmp_path):
    with pytest.raises(UserError, match="shuffle does not fit the task cola"):
        parts("cola", train=tmp_path / "none.tsv", augment="shuffle")
    with pytest.raises(UserError, match="does not fit the task mixture"):
        job = RunConfig.parse(
            {
                "task": "mixture",
                "mixture": {"tasks": "squad,cola"},
                "data": {"augment": "swap"},
            }
        )
        training_and_validation(assemble(job))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, True),
        ({"source": "hub", "streaming": True}, True),
        ({"train": "a.jsonl"}, True),
        ({"train": "a.jsonl", "validation_fraction": 0}, False),
        ({"train": "a.jsonl", "streaming": True}, False),
        ({"train": "a.jsonl", "streaming": True, "validation": "b.jsonl"}, True),
        ({"train": "a.jsonl", "validation_fraction": 0, "source": "sample"}, True),
    ],
)
def test_whether_there_are_validation_rows(data, expected):
    config = RunConfig.parse({"task": "cola", "data": data})
    assert has_validation(config) is expected
