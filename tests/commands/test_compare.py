"""Comparisons: of runs that are there, and with processes of their own."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from kerastune_llm.cli import main
from kerastune_llm.commands.compare import compare
from kerastune_llm.errors import UserError
from tests.commands.studies import write_finished

STARTER = {"task": {"name": "cola"}, "model": "starter"}


def values(method: dict, seed: int, **more) -> dict:
    return {**STARTER, "method": method, "runtime": {"seed": seed}, **more}


@pytest.fixture
def finished(tmp_path) -> Path:
    """LoRA and full with two seeds each, all finished."""
    lora = {"name": "lora", "rank": "4"}
    for seed, curve in ((42, [0.1, 0.5]), (43, [0.3, 0.7])):
        write_finished(tmp_path, f"lora-rank=4-{seed}", values(lora, seed), curve=curve)
    for seed in (42, 43):
        write_finished(
            tmp_path, f"full-{seed}", values({"name": "full"}, seed), curve=[0.8, 0.8]
        )
    return tmp_path


def test_finished_runs_are_reused_and_put_into_a_table(finished, capsys):
    before = {p: p.stat().st_mtime_ns for p in (finished / "runs").rglob("*")}
    argv = f"compare cola --methods lora:rank=4,full --seeds 2 --output {finished}"
    assert main(argv.split()) == 0
    out = capsys.readouterr().out
    assert out.count("finished before") == 4
    assert {p: p.stat().st_mtime_ns for p in (finished / "runs").rglob("*")} == before

    written = json.loads((finished / "compare.json").read_text())
    assert written["ranking"] == {
        "performance": "full > lora",
        "convergence": "full > lora",
    }
    lora = written["rows"][0]
    assert lora["mean"] == pytest.approx(0.6)
    assert lora["spread"] == pytest.approx(0.02**0.5)
    assert lora["steps_to_95_percent"] == 20
    assert (lora["percent"], lora["seconds"], lora["file_size"]) == (2.5, 12.5, 8)
    table = pandas.read_csv(finished / "compare.csv")
    assert list(table["method"]) == ["lora:rank=4", "full"]
    card = (finished / "README.md").read_text()
    assert "| lora | 2 | 0.6 ± 0.14 | 2.5 | 20 | 12 | 2 | 8e-06 |" in card
    # The only one of its method: its options are said once, below the table.
    assert "- lora: `lora:rank=4`\n" in card
    assert (finished / "convergence.png").exists()


def test_another_configuration_is_refused_before_anything_runs(finished, capsys):
    argv = f"compare cola --methods head,full --optim.epochs 9 --output {finished}"
    assert main(argv.split()) == 2
    assert "--optim.epochs not given then, 9 now" in capsys.readouterr().err
    assert not (finished / "runs" / "head-42").exists()


def test_a_learning_rate_of_one_method_is_its_alone(finished):
    with pytest.raises(UserError) as caught:
        compare(
            {**STARTER, "output": finished},
            methods=["lora:rank=4", "full"],
            learning_rates={"lora": 1e-3},
        )
    assert "lora-rank=4-42" in str(caught.value)
    assert "--optim.learning-rate not given then, 0.001 now" in str(caught.value)
    assert "full-42" not in str(caught.value)


def test_a_run_without_the_metric_is_reported_and_left_out(finished, capsys):
    (finished / "runs" / "full-42" / "metrics.json").write_text('{"loss": 1.0}')
    argv = f"compare cola --methods lora:rank=4,full --output {finished}"
    assert main(argv.split()) == 2
    written = json.loads((finished / "compare.json").read_text())
    assert [row["method"] for row in written["rows"]] == ["lora:rank=4"]
    assert set(written["failures"]) == {"full-42"}
    assert (
        "full-42: no number as matthews_correlation"
        in (finished / "README.md").read_text()
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "--methods must name the methods"),
        ("--methods full --seeds 0", "--seeds must be 1 or more"),
        (
            "--methods full --learning-rates lora=1",
            "Unknown method of --learning-rates",
        ),
        ("--methods full --method lora", "Unknown flag --method"),
        ("--methods full --models a/t5,b/t5", "same folder"),
        (
            "--methods full --data.train x.csv --data.validation-fraction 0",
            "needs validation rows",
        ),
    ],
)
def test_what_is_refused(flags, message, tmp_path, capsys):
    assert main(f"compare cola {flags} --output {tmp_path}".split()) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_starts_the_runs_is_small():
    """Its own memory counts into theirs, see `run_process`."""
    check = (
        "import sys, kerastune_llm.commands.compare\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


SHORT = (
    "--optim.max-steps 2 --optim.batch-size 4 --data.max-train-samples 20 "
    "--data.max-validation-samples 8"
)


@pytest.mark.slow
def test_a_failing_method_does_not_stop_the_others(tmp_path, capsys):
    argv = (
        f"compare cola --methods lora:target_modules=nothing,head {SHORT} "
        f"--output {tmp_path}"
    )
    assert main(argv.split()) == 2
    assert "failed: " in capsys.readouterr().out
    written = json.loads((tmp_path / "compare.json").read_text())
    (row,) = written["rows"]
    assert row["method"] == "head"
    assert 0 < row["percent"] < 100
    # TensorFlow and a model of 1.6 M parameters: more than 200 MB, less than 8 GB.
    assert 2e8 < row["peak_memory"] < 8e9
    assert (
        row["file_size"]
        == (tmp_path / "runs/head-42/model/model.safetensors").stat().st_size
    )
    (message,) = written["failures"].values()
    assert "nothing" in message
    # Nothing but the method tells the runs apart, so their rows and order are the same.
    lora, head = (json.loads(f.read_text()) for f in (tmp_path / "configs").iterdir())
    assert {**lora, "method": None} == {**head, "method": None}


@pytest.mark.slow
def test_ctrl_c_ends_the_run_which_saves_and_the_study_with_130(tmp_path):
    methods = ["--methods", "head,full", "--output", str(tmp_path)]
    command = [sys.executable, "-m", "kerastune_llm.cli", "compare", "cola", *methods]
    command += [*SHORT.replace("max-steps 2", "max-steps 100000").split()]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    history = tmp_path / "runs/head-42/metrics.jsonl"
    while not (history.exists() and history.stat().st_size):
        try:
            process.wait(timeout=0.2)
            break
        except subprocess.TimeoutExpired:
            continue
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 130, text
    assert (tmp_path / "runs/head-42/model/model.safetensors").exists()
    assert not (tmp_path / "runs/full-42").exists()
    assert "the same command goes on from here" in text
    assert "Traceback" not in (tmp_path / "logs/head-42.txt").read_text()
