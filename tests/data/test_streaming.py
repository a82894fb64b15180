"""Batches out of a file that is read as it is trained on."""

import json
from itertools import islice

import numpy as np
import pytest

from kerastune_llm.data.encoding import Encoder
from kerastune_llm.data.features import tokenise
from kerastune_llm.data.sources import discover_labels, load_rows
from kerastune_llm.data.streaming import Stream, survey
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.custom import configure_task
from kerastune_llm.tasks.task import get_task
from tests.tiny_tokenizers import TEXT, fast_tokenizer

WORDS = [word for word in TEXT.split() if word.isalpha()]
TEXT_TASK = configure_task(
    get_task("custom"), input_template="{text}", target_template="{label}"
)
LABEL_TASK = configure_task(
    get_task("custom"), input_template="{text}", label_column="label"
)
TOKENIZER = fast_tokenizer()
ROWS = 230
BATCH = 2


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """230 rows of one to nine words; a window has a hundred of them."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    rows = [
        {
            "text": " ".join(rng.choice(WORDS, rng.integers(1, 10))),
            "label": WORDS[n % 4],
        }
        for n in range(ROWS)
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    return path


def stream(file, task=TEXT_TASK, *, seed=3, buffer_size=40, max_input_tokens=12):
    found = survey(task, file)
    as_text = not task.has_labels
    encoder = Encoder(found.task, TOKENIZER, as_text, max_input_tokens, 8)
    return Stream(found, encoder, buffer_size, seed)


def taken(stream, count, **options):
    batches = stream.batches(batch_size=BATCH, **options)
    return [
        {name: value.numpy() for name, value in batch.items()}
        for batch in islice(batches, count)
    ]


def rows_of(batches):
    """Each row as the tokens of its input and its labels, without padding."""
    return [
        (tuple(ids[mask == 1]), tuple(labels[labels != -100]))
        for batch in batches
        for ids, mask, labels in zip(
            batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True
        )
    ]


def same(one, other):
    return len(one) == len(other) and all(
        a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("batching", ["bucket", "pad"])
def test_every_epoch_has_every_row_once_in_an_order_of_its_own(
    file, batching, tmp_path
):
    rows = load_rows(TEXT_TASK, "train", source="files", path=file)
    whole = tokenise(rows, TEXT_TASK, TOKENIZER, as_text=True, cache_dir=tmp_path)
    expected = [
        (tuple(row["input_ids"]), tuple(row["labels"])) for row in whole.dataset
    ]
    per_epoch = ROWS // BATCH
    batches = taken(stream(file), 2 * per_epoch, batching=batching)
    first, second = (rows_of(batches[n : n + per_epoch]) for n in (0, per_epoch))
    assert sorted(first) == sorted(second) == sorted(expected)
    assert len({tuple(first), tuple(second), tuple(expected)}) == 3
    assert survey(TEXT_TASK, file).rows == ROWS


def test_rows_come_from_the_whole_buffer_and_not_from_behind_it(file):
    """The row at place n was read when n + the buffer's size rows were."""
    rows = load_rows(TEXT_TASK, "train", source="files", path=file)
    places = [int(row["id"]) for row in stream(file)._rows(0)]
    assert sorted(places) == list(range(len(rows)))
    ahead = [place - at for at, place in enumerate(places)]
    assert 20 < max(ahead) <= 40


def test_like_lengths_share_a_batch_where_asked(file):
    def padding(batching):
        masks = [
            b["attention_mask"] for b in taken(stream(file), 100, batching=batching)
        ]
        return sum((mask == 0).sum() for mask in masks)

    assert padding("bucket") < 0.3 * padding("pad")


def test_fixed_batches_have_static_shapes(file):
    batches = stream(file).batches(batch_size=BATCH, batching="fixed")
    assert batches.element_spec["input_ids"].shape == (BATCH, 12)
    assert batches.element_spec["labels"].shape == (BATCH, 8)
    assert next(iter(batches))["input_ids"].shape == (BATCH, 12)


def test_streamed_rows_that_fill_up_a_batch_are_told(file):
    size = BATCH + 1
    per_epoch = -(-ROWS // size)
    batches = stream(file).batches(batch_size=size, batching="fixed").take(per_epoch)
    counts = [int(batch["counted"].numpy().sum()) for batch in batches]
    assert counts == [size] * (per_epoch - 1) + [ROWS - size * (per_epoch - 1)]


def test_streamed_rows_are_packed_too(file):
    per_epoch = ROWS // BATCH
    packed = taken(stream(file), per_epoch, batching="pack")
    plain = taken(stream(file), per_epoch, batching="pad")
    for one, other in zip(packed, plain, strict=True):
        examples = [
            (tuple(ids[inputs == number]), tuple(labels[targets == number]))
            for ids, inputs, labels, targets in zip(
                *(one[name] for name in ("input_ids", "input_segments")),
                *(one[name] for name in ("labels", "target_segments")),
                strict=True,
            )
            for number in range(1, inputs.max() + 1)
        ]
        assert sorted(examples) == sorted(rows_of([other]))
    assert any(len(batch["input_ids"]) == 1 for batch in packed)


@pytest.mark.parametrize("first_step", [1, 50, 73, 115, 181])
def test_resuming_gives_the_batches_of_the_unbroken_run(file, first_step):
    whole = taken(stream(file), 190)
    rest = taken(stream(file), 190 - first_step, first_step=first_step)
    assert same(whole[first_step:], rest)


def test_the_seed_decides(file):
    one, again, other = (taken(stream(file, seed=seed), 60) for seed in (1, 1, 2))
    assert same(one, again) and not same(one, other)


def test_labels_are_discovered_in_the_one_reading(file):
    rows = load_rows(LABEL_TASK, "train", source="files", path=file)
    labels = discover_labels(LABEL_TASK, rows)
    made = stream(file, LABEL_TASK)
    assert made.survey.task.labels == labels and len(labels) == 4
    found = np.concatenate([b["labels"] for b in taken(made, ROWS // BATCH)])
    assert found.dtype == np.int32
    expected = [labels.index(name) for name in rows["label"]]
    assert np.bincount(found).tolist() == np.bincount(expected).tolist()


def test_the_digest_tells_other_rows_and_another_order(file, tmp_path):
    lines = file.read_text().split("\n")
    digests = {survey(TEXT_TASK, file).digest}
    for number, changed in enumerate([lines[1:], lines[::-1]]):
        other = tmp_path / f"{number}.jsonl"
        other.write_text("\n".join(changed))
        digests.add(survey(TEXT_TASK, other).digest)
    assert len(digests) == 3
    found = survey(LABEL_TASK, file)
    # A run that goes on knows the labels.
    assert survey(found.task, file).digest == found.digest


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "rows.jsonl.gz"])
def test_other_forms_give_the_same_rows(file, name, tmp_path):
    import pandas

    frame = pandas.read_json(file, lines=True)
    other = tmp_path / name
    if name.endswith("csv"):
        frame.to_csv(other, index=False)
    elif name.endswith("parquet"):
        frame.to_parquet(other)
    else:
        frame.to_json(other, orient="records", lines=True)
    assert survey(TEXT_TASK, other).digest == survey(TEXT_TASK, file).digest


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.json", "[]", r"(?s)cannot be streamed.*jq -c '.\[\]'"),
        ("rows.parquet.gz", "x", "cannot be streamed"),
        ("rows", "x", "cannot be streamed"),
        ("rows.jsonl", "\n", "There are no rows"),
        (
            "rows.jsonl",
            '{"text": "a", "label": "b"}\n{"text": "a"}',
            "line 2, column 'label'",
        ),
        ("gone.jsonl", None, "does not exist"),
    ],
)
def test_refusals(name, text, message, tmp_path):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        survey(TEXT_TASK, tmp_path / name)
