"""Whole runs on tiny models and small files, as a user starts them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

import kerastune_llm
from kerastune_llm.backend import keras
from kerastune_llm.cli import main
from kerastune_llm.errors import UserError

RUN_FILES = {
    "README.md",
    "config.json",
    "environment.json",
    "log.txt",
    "metrics.json",
    "metrics.jsonl",
    "model/config.json",
    "model/model.safetensors",
    "model/special_tokens_map.json",
    "model/tokenizer.json",
    "model/tokenizer_config.json",
    "plots/loss.png",
    "plots/metrics.png",
    "predictions/validation.jsonl",
}


CHECKPOINT_FILES = {"SHA256SUMS", "state.json", "tensors.safetensors"}


def files_of(folder: Path) -> set[str]:
    """Files below a folder, TensorBoard's with their changing part cut off."""
    names = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    return {name.partition("/events")[0] for name in names}


@pytest.fixture(scope="module")
def squad_run(tmp_path_factory) -> Path:
    """A short run of the starter on its sample: 20 updates."""
    output = tmp_path_factory.mktemp("runs") / "squad"
    code = main(
        f"train squad --output {output} --optim.max-steps 20 --evaluation.every 10 "
        "--data.max-train-samples 200 --data.max-validation-samples 20".split()
    )
    assert code == 0
    return output


def test_run_directory_has_exactly_its_files(squad_run):
    expected = RUN_FILES | {
        "model/generation_config.json",
        "model/spiece.model",
        "plots/lengths.png",
        "tensorboard",
        *(f"checkpoints/step-{n:08}/{f}" for n in (10, 20) for f in CHECKPOINT_FILES),
    }
    assert files_of(squad_run) == expected


def test_metrics_and_predictions(squad_run):
    metrics = json.loads((squad_run / "metrics.json").read_text())
    assert set(metrics) == {"exact_match", "f1", "loss"}
    lines = (squad_run / "predictions/validation.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 20
    assert all(
        set(row) == {"id", "input", "prediction", "references", "score"} for row in rows
    )
    exact = [row["prediction"] in row["references"] for row in rows]
    assert metrics["exact_match"] == pytest.approx(100 * sum(exact) / len(rows), abs=15)
    history = [
        json.loads(x) for x in (squad_run / "metrics.jsonl").read_text().splitlines()
    ]
    assert [x["step"] for x in history if "evaluation" in x] == [10, 20]
    assert max(x["step"] for x in history) == 20


def test_evaluate_reproduces_the_runs_own_numbers(squad_run):
    own = json.loads((squad_run / "metrics.json").read_text())
    assert kerastune_llm.evaluate(squad_run) == own


def test_a_run_s_config_starts_the_same_run_again(squad_run, tmp_path):
    code = main(
        ["train", "--config", str(squad_run / "config.json"), "--output", str(tmp_path)]
    )
    assert code == 0
    first = load_file(squad_run / "model/model.safetensors")
    second = load_file(tmp_path / "model/model.safetensors")
    assert all((first[name] == second[name]).all() for name in first)


def test_a_finished_run_is_not_overwritten(squad_run, capsys):
    assert main(["train", "squad", "--output", str(squad_run)]) == 2
    assert "already holds a finished run" in capsys.readouterr().err


def test_predict_answers_rows_without_targets(squad_run, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"question": "Who lives in Oslo?", "context": "Ana lives in Oslo."}\n' * 3
    )
    output = tmp_path / "answers.jsonl"
    code = main(
        ["predict", str(squad_run), "--input", str(rows), "--output", str(output)]
    )
    assert code == 0
    answers = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(answers) == 3
    assert answers[0]["input"] == (
        "question: Who lives in Oslo? context: Ana lives in Oslo."
    )
    assert all(0 < answer["score"] <= 1 for answer in answers)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    rows = [
        f"{'good' if n % 3 else 'bad'} thing {n},{'yes' if n % 3 else 'no'}"
        for n in range(60)
    ]
    path.write_text("\n".join(["text,liked", *rows]) + "\n")
    return path


def test_custom_classification_saves_its_labels(reviews, tmp_path):
    output = tmp_path / "run"
    result = kerastune_llm.train(
        {
            "task": {
                "name": "custom",
                "input_template": "{text}",
                "label_column": "liked",
            },
            "model": "minilm",
            "method": "head",
            "data": {"train": reviews},
            "optim": {"max_steps": 3, "batch_size": 8},
            "output": output,
        }
    )
    config = json.loads((output / "model/config.json").read_text())
    assert config["id2label"] == {"0": "no", "1": "yes"}
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert set(result.metrics) == {"accuracy", "macro_f1", "loss"}
    answers = tmp_path / "answers.jsonl"
    kerastune_llm.predict(output, reviews, answers)
    labels = [
        json.loads(line)["prediction"] for line in answers.read_text().split("\n")[:-1]
    ]
    assert len(labels) == 60 and set(labels) <= {"yes", "no"}


def test_keras_callbacks_of_the_users_own(reviews, tmp_path):
    seen = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(logs["loss"])

    kerastune_llm.train(
        {
            "task": {
                "name": "custom",
                "input_template": "{text}",
                "target_template": "{liked}",
            },
            "data": {"train": reviews},
            "optim": {"max_steps": 3, "batch_size": 4},
            "output": tmp_path / "run",
        },
        callbacks=[Count()],
    )
    assert len(seen) == 3


def test_a_loss_that_is_no_number_stops_with_advice(reviews, tmp_path):
    with pytest.raises(UserError, match="--optim.learning-rate"):
        kerastune_llm.train(
            {
                "task": {
                    "name": "custom",
                    "input_template": "{text}",
                    "target_template": "{liked}",
                },
                "data": {"train": reviews},
                "optim": {
                    "max_steps": 50,
                    "learning_rate": 1e30,
                    "clip_norm": 0,
                    "name": "sgd",
                },
                "output": tmp_path / "run",
            }
        )


def test_interrupt_saves_and_exits_130(tmp_path):
    output = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "kerastune_llm.cli", "train", "squad"]
        + ["--output", str(output), "--optim.epochs", "100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    history = output / "metrics.jsonl"
    while not (history.exists() and history.stat().st_size):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
            break
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert (output / "model/model.safetensors").exists()
    assert not (output / "metrics.json").exists()
    assert kerastune_llm.evaluate(
        output, changes={"data": {"max_validation_samples": 5}}
    )


def test_a_full_disk_is_said_and_the_last_model_survives(squad_run, tmp_path):
    """A limit on the size of files stands for the full disk."""
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "from kerastune_llm.cli import main\n"
        f"sys.exit(main('train squad --output {tmp_path / 'run'} --optim.max-steps 2 "
        "--data.max-train-samples 20 --data.max-validation-samples 5'.split()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr
    assert not (tmp_path / "run" / "model").exists()


def test_an_adapter_run_saves_the_adapter_alone_and_is_reproduced(tmp_path):
    output = tmp_path / "lora"
    code = main(
        f"train squad --method lora --method.rank 2 --output {output} "
        "--optim.max-steps 4 --data.max-train-samples 40 "
        "--data.max-validation-samples 10".split()
    )
    assert code == 0
    assert {file.name for file in (output / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert not (output / "model").exists()
    own = json.loads((output / "metrics.json").read_text())
    assert kerastune_llm.evaluate(output) == own
