"""A run whose contexts are cut into windows: rows stay rows in all that is told."""

import json

import datasets
import pytest

import kerastune_llm
from kerastune_llm.commands.finished_run import load_scorer, open_run
from kerastune_llm.commands.job import assemble
from kerastune_llm.commands.splits import load_splits, load_validation
from kerastune_llm.config import RunConfig
from kerastune_llm.data.truncation import TruncationReport
from kerastune_llm.errors import UserError
from kerastune_llm.models.checkpoint import save_model
from tests.tiny_models import tiny
from tests.tiny_tokenizers import TEXT, fast_tokenizer

WORDS = [word for word in TEXT.split() if word.isalpha() and word != "bark"]


def lines(count):
    """Every other context has sixty words, its answer the last of them."""
    for n in range(count):
        size = 60 if n % 2 else 6
        text = [WORDS[(n + place) % 20] for place in range(size - 1)] + ["bark"]
        yield {"question": "is it long?", "context": " ".join(text), "answer": "bark"}


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("job")
    # Generation that XLA cannot compile, which would take longer than it saves here.
    model = tiny("t5", no_repeat_ngram_size=9)
    save_model(model, fast_tokenizer(with_types=False), folder / "t5")
    for name, count in (("train", 12), ("validation", 4)):
        text = "\n".join(json.dumps(line) for line in lines(count))
        (folder / f"{name}.jsonl").write_text(text)
    return {
        "task": {
            "name": "custom",
            "input_template": "question {question} context {context}",
            "target_template": "{answer}",
        },
        "model": str(folder / "t5"),
        "data": {
            "train": str(folder / "train.jsonl"),
            "validation": str(folder / "validation.jsonl"),
            "long_context": "window",
            "stride": 4,
            "max_input_tokens": 30,
            "max_target_tokens": 3,
        },
        "optim": {"max_steps": 2, "batch_size": 4},
        "evaluation": {"batch_size": 8, "max_new_tokens": 3},
    }


def test_only_windows_with_the_answer_are_trained_on(job):
    _, training, validation = load_splits(assemble(RunConfig.parse(job)))
    # The answer stands at the end: one window of each row has it.
    assert training.count == 12 and len(set(training.rows["id"])) == 12
    assert all("bark" in text for text in training.rows["context"])
    assert max(len(ids) for ids in training.tokenised["input_ids"]) <= 30
    assert validation.truncation == TruncationReport(rows=4)
    # The loss is of the window with the answer, the last word before the end mark.
    bark = assemble(RunConfig.parse(job)).tokenizer.vocab["bark"]
    assert {ids[-2] for ids in validation.tokenised["input_ids"]} == {bark}
    counts = [len(windows) for windows in validation.tokenised["windows"]]
    # 8 of 30 tokens are not the context's, and 4 are shared: 60 words are read to word
    # 22, 40, 58 and 60.
    assert len(validation.rows) == 4 and counts == [1, 4, 1, 4]


def test_each_row_is_scored_and_answered_once(job, tmp_path):
    run = tmp_path / "run"
    result = kerastune_llm.train({**job, "output": run})
    told = (run / "predictions/validation.jsonl").read_text().split("\n")[:-1]
    records = [json.loads(line) for line in told]
    assert [record["id"] for record in records] == [str(n) for n in range(4)]
    assert records[1]["input"].count("bark") >= 1 and "window" not in records[1]["id"]
    run_dir, opened = open_run(run)
    split = load_validation(opened)
    scorer = load_scorer(run_dir, opened)
    scores = scorer.score(split.rows, split.tokenised)
    assert scores.metrics == result.metrics and len(scores.records) == 4

    # What each window says by itself, and the surest of it for each row.
    windows = split.tokenised["windows"][:]
    every = datasets.Dataset.from_dict({"input_ids": sum(windows, [])})
    alone = scorer.answer(every, with_scores=True)
    said = list(zip(alone.texts, alone.scores, strict=True))
    merged = scorer.answer(split.tokenised)
    for row, own in enumerate((said[0:1], said[1:5], said[5:6], said[6:10])):
        text, score = max(own, key=lambda answer: (answer[0] != "", answer[1]))
        assert merged.texts[row] == text
        assert merged.scores[row] == pytest.approx(score, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride": 30}, "below 30, the input's length.*Received: --data.stride 30"),
        ({"stride": 31}, "Windows cannot share as many tokens"),
    ],
)
def test_a_stride_as_long_as_the_input_is_refused(job, changes, message):
    values = {**job, "data": {**job["data"], **changes}}
    with pytest.raises(UserError, match=f"(?s){message}"):
        assemble(RunConfig.parse(values))


def test_other_tasks_have_no_windows():
    values = {"task": "cola", "data": {"long_context": "window"}}
    with pytest.raises(UserError, match="questions on a context, and the task cola"):
        assemble(RunConfig.parse(values))
