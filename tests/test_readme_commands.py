"""Every command of README.md runs: in order, in one folder, as a reader types it.

A line that is added to README runs here too, and fails where it does not work. What a
test cannot have is replaced by the tables below, which say all that differs: models of
the hub, the reader's own files and runs, a port, and how long the runs are. TensorFlow
runs operation by operation here: to make graphs takes most of the time of so short a
run, and that they compute the same is for the tests of what makes them.
"""

import contextlib
import dataclasses
import json
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra: pip install '.[serve]'")
pytest.importorskip("optuna", reason="needs the extra: pip install '.[tune]'")

import kerastune_llm  # noqa: E402
from kerastune_llm.backend import keras, tf, transformers  # noqa: E402
from kerastune_llm.cli import main  # noqa: E402
from kerastune_llm.commands import study, tune  # noqa: E402
from kerastune_llm.models import sources  # noqa: E402
from kerastune_llm.models.checkpoint import save_model  # noqa: E402
from kerastune_llm.models.model_config import load_config  # noqa: E402
from kerastune_llm.models.tokenizer import load_tokenizer  # noqa: E402
from tests.readme import BLOCKS, ROOT, Command, commands, parse  # noqa: E402
from tests.readme_shell import Shell, run_here  # noqa: E402

# Words, and what stands in for them.
WORDS = {
    "google/flan-t5-small": "starter",
    "MODEL=google/flan-t5-small": "MODEL=starter",
    "google/flan-t5-base": "starter",
    "BASE": "starter",
    "runs/NAME": "runs/lora",
    "8501": "0",
}

# Flags that a verb's commands are given besides; of one given twice, the last counts.
SMALL = (
    "--data.max-train-samples 16 --data.max-validation-samples 4 --optim.batch-size 8 "
    "--evaluation.batch-size 4 --evaluation.max-new-tokens 4"
)
SHORT = f"{SMALL} --optim.max-steps 2 --evaluation.every epoch"
ADDED = {
    "train": SHORT,
    "bench": f"{SMALL} --steps 2",
    "compare": f"{SHORT} --seeds 1",
    "transfer": SHORT,
    "tune": f"{SHORT} --trials 1",
    "resume": "--optim.epochs 2",
    "show": "--rows 2",
}

# Commands that only their own tests run: what they need is dear, or not to be had here.
ELSEWHERE = {
    "kerastune serve runs/NAME": "test_serve_run.py",
    "kerastune launch --workers 2 -- train squad --output runs/NAME": "test_launch.py",
    "kerastune train squad --output gs://BUCKET/runs/NAME": "test_remote_run.py",
    "kerastune resume gs://BUCKET/runs/NAME": "test_remote_run.py",
    "kerastune evaluate gs://BUCKET/runs/NAME": "test_remote_run.py",
    "kerastune doctor squad --tpu --method lora --runtime.steps-per-execution 32": (
        "test_doctor_tpu.py"
    ),
}

# Commands, and what is run instead, as it stands here.
INSTEAD = {
    "kerastune train --config recipe:cola-distilbert": (
        f"kerastune train --config recipe:cola-distilbert --model starter {SHORT}"
    ),
    "echo 'Dogs bark.' | kerastune predict runs/NAME": (
        "echo 'Dogs bark.' | kerastune predict runs/cola"
    ),
    "kerastune train xsum --data.train huge.jsonl --data.streaming "
    "--optim.max-steps 10000": (
        "kerastune train xsum --data.train huge.jsonl --data.streaming "
        "--optim.max-steps 2 --optim.batch-size 8"
    ),
    "kerastune resume runs/NAME": "kerastune resume runs/interrupted",
    "kerastune train squad --model whole": (
        f"kerastune train squad --model whole --data.source sample {SHORT}"
    ),
    # An adapter of the starter is of use to nobody without it, and is not pushed alone.
    "kerastune push runs/NAME --repo USER/NAME --private --dry-run": (
        "kerastune push runs/lora --repo me/t5 --private --dry-run --form whole"
    ),
}


def adapted(command: Command) -> Command:
    """What is run for a command of README."""
    if str(command) in INSTEAD:
        return parse(INSTEAD[str(command)])
    words = [WORDS.get(word, word) for word in command.words]
    if words[0] == "kerastune":
        words += ADDED.get(words[1], "").split()
    return dataclasses.replace(command, words=tuple(words))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Even though the .*run_functions_eagerly")
def test_every_command_of_the_readme_runs(folder, monkeypatch):
    for module in (study, tune):
        monkeypatch.setattr(module, "run_process", run_here)
    problems = []
    shell = Shell(folder, adapted)
    try:
        for command in commands():
            if str(command) in ELSEWHERE:
                continue
            began = time.monotonic()
            problem = shell.run(command)
            print(f"{time.monotonic() - began:6.1f} s  {command}")
            if problem:
                problems.append(f"$ {command}\n{problem}")
    finally:
        problems.append(shell.stop())
    assert not any(problems), "\n\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize("code", [body for name, body in BLOCKS if name == "python"])
def test_every_example_in_python_runs(code):
    exec(compile(code, "README.md", "exec"), {})


def test_a_program_that_the_test_does_not_know_is_a_problem(tmp_path):
    assert "kerastune, make" in Shell(tmp_path, adapted).run(parse("wget page"))


def test_what_is_replaced_is_in_the_readme():
    found = commands()
    assert {*INSTEAD, *ELSEWHERE} <= {str(command) for command in found}
    for name in ELSEWHERE.values():
        assert list((ROOT / "tests").rglob(name))
    assert set(WORDS) <= {word for command in found for word in command.words}
    assert set(ADDED) <= {command.words[1] for command in found}


PLACES = ("Oslo", "Rome", "Lima", "Cairo", "Quito")
PEOPLE = [(name, place) for name in ("Ana", "Ben", "Cleo", "Dan") for place in PLACES]


@pytest.fixture
def flat_models(tmp_path_factory) -> Iterator[None]:
    """The bundled models with one layer: what takes time here is each operation."""
    starter = load_config("starter")
    starter.num_layers = starter.num_decoder_layers = 1
    minilm = load_config("minilm")
    minilm.num_hidden_layers = 1
    with pytest.MonkeyPatch.context() as patch:
        for name, model in (
            ("starter", transformers.TFT5ForConditionalGeneration(starter)),
            ("minilm", transformers.TFBertModel(minilm)),
        ):
            folder = tmp_path_factory.mktemp(name)
            model.build_in_name_scope()
            save_model(model, load_tokenizer(name), folder)
            patch.setattr(sources, f"_{name}", lambda folder=folder: folder)
        yield


@pytest.fixture
def without_graphs() -> Iterator[None]:
    """Operation by operation."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def folder(flat_models, without_graphs, tmp_path_factory) -> Iterator[Path]:
    """The folder to be in, with the files and runs that README takes to be there."""
    folder = tmp_path_factory.mktemp("readme")
    with contextlib.chdir(folder):
        write_files(folder)
        for line in (
            "train squad --output runs/full",
            "train squad --output runs/lora --method lora",
            "train cola --output runs/cola",
        ):
            assert main([*line.split(), *SMALL.split(), "--optim.epochs", "1"]) == 0
        small = {"max_train_samples": 16, "max_validation_samples": 4}
        values = {"task": "squad", "data": small, "optim": {"batch_size": 8}}
        result = kerastune_llm.train(
            {**values, "output": "runs/interrupted"}, callbacks=[CtrlC()]
        )
        assert result.interrupted
        yield folder


class CtrlC(keras.callbacks.Callback):
    """Interrupts in the first step."""

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        signal.raise_signal(signal.SIGINT)


def write_files(folder: Path) -> None:
    """The reader's own files, by their names in README."""
    asked = [(f"who lives in {p}?", f"{n} lives in {p}.", n) for n, p in PEOPLE]
    questions = [{"question": q, "context": c} for q, c, _ in asked[:3]]
    for name, rows in {
        "my.jsonl": [dict(zip("qca", row, strict=True)) for row in asked],
        "rows.jsonl": questions,
        "questions.jsonl": questions,
        "huge.jsonl": [
            {"document": f"{c} So it is.", "summary": c} for _, c, _ in asked
        ],
    }.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name).write_text(text, encoding="utf-8")
    reviews = [f"{n} of {p} is {'good,5' if n < 'C' else 'bad,1'}" for n, p in PEOPLE]
    (folder / "reviews.csv").write_text("\n".join(["text,stars", *reviews]) + "\n")
    (folder / "train.json").write_text(json.dumps(squad(asked)))


def squad(asked: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """SQuAD's official form, an article for each text."""
    articles = []
    for question, context, answer in asked:
        answers = [{"text": answer, "answer_start": 0}]
        row = {"id": context, "question": question, "answers": answers}
        paragraph = {"context": context, "qas": [row]}
        articles.append({"title": context, "paragraphs": [paragraph]})
    return {"version": "1.1", "data": articles}
