"""Searches: the study by itself, and of runs that are there."""

import json
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from kerastune_llm.cli import main
from kerastune_llm.commands import tune
from kerastune_llm.commands.trials import Study
from kerastune_llm.commands.tune_report import write_report
from kerastune_llm.commands.tune_search import Search
from kerastune_llm.commands.tune_space import parse_dimension, parse_space
from kerastune_llm.commands.tune_work import run_folder_lock, trial_values
from kerastune_llm.config import RunConfig
from kerastune_llm.locks import alone, claim
from tests.commands.studies import search, write_finished

pytest.importorskip("optuna", reason="needs Optuna: pip install '.[tune]'")

SPACE = tuple(
    map(
        parse_dimension,
        ("optim.learning-rate=log:1e-5..1e-1", "method.rank=4|8", "optim.epochs=1..9"),
    )
)


def ask_and_complete(study: Search, count: int, seed: int = 42) -> None:
    """Trials scored by a formula that is highest at the rate 1e-3 and epoch 5."""
    for _ in range(count):
        number = study.ask(SPACE, seed)
        values = study.values(number)
        rate, epochs = values["optim.learning_rate"], values["optim.epochs"]
        study.complete(number, -abs(rate - 1e-3) - abs(epochs - 5))


def asked(study: Search) -> list[dict]:
    return [trial.params for trial in study.trials()]


# More trials than the sampler draws at random before it learns from those there are.
TRIALS = 13


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[dict]:
    """The trials of a search that was not stopped."""
    study = search(tmp_path_factory.mktemp("whole"))
    ask_and_complete(study, TRIALS)
    return asked(study)


def test_the_same_seed_gives_the_same_trials_also_after_a_stop(whole, tmp_path):
    ask_and_complete(search(tmp_path), 4)
    again = search(tmp_path)
    ask_and_complete(again, TRIALS - 4)
    assert asked(again) == whole
    assert len({values["optim.learning_rate"] for values in whole}) == TRIALS


def test_another_seed_gives_other_trials(whole, tmp_path):
    other = search(tmp_path)
    ask_and_complete(other, 2, seed=43)
    assert not [values for values in asked(other) if values in whole]


def test_values_are_of_the_space(whole):
    for values in whole:
        assert 1e-5 <= values["optim.learning_rate"] <= 1e-1
        assert values["method.rank"] in ("4", "8")
        assert values["optim.epochs"] in range(1, 10)


@pytest.mark.parametrize("lower_is_better", [False, True])
def test_a_trial_below_the_median_is_pruned(tmp_path, lower_is_better):
    study = search(tmp_path, lower_is_better=lower_is_better)
    sign = -1 if lower_is_better else 1
    for score in (1, 2, 3, 4, 5):
        number = study.ask(SPACE, 42)
        # The first five run through whatever they score.
        assert not study.report(number, 1, sign * score)
        assert study.complete(number, sign * score)
    behind, ahead = study.ask(SPACE, 42), study.ask(SPACE, 42)
    # The median of the five is 3.
    assert study.report(behind, 1, sign * 2.9)
    assert not study.report(ahead, 1, sign * 3.1)
    study.mark_pruned(behind)
    assert not study.complete(behind, sign * 100)
    assert study.complete(ahead, sign * 3.1)
    assert study.best().value == sign * 5


def test_an_evaluation_that_is_repeated_after_a_resume_is_reported_once(tmp_path):
    study = search(tmp_path)
    number = study.ask(SPACE, 42)
    for score in (0.5, 0.7):
        study.report(number, 1, score)
    assert study.trials()[number].intermediate_values == {1: 0.5}


def test_the_report_says_what_mattered(tmp_path, capsys):
    study = search(tmp_path)
    # All are asked for before any has a score, so that they are spread evenly.
    for number in [study.ask(SPACE, 42) for _ in range(30)]:
        study.complete(number, -abs(study.values(number)["optim.epochs"] - 5))
    importances = study.importances()
    assert sum(importances.values()) == pytest.approx(1)
    assert max(importances, key=importances.get) == "optim.epochs"
    write_report(Study(tmp_path), study, best={}, task="cola", metric="score")
    best = study.best()
    assert (tmp_path / "importance.png").exists()
    card = (tmp_path / "README.md").read_text()
    assert f"Of 30 trials, trial {best.number} is the best" in card
    rows = [line for line in card.splitlines() if line.startswith("| ")]
    assert rows[0] == "| trial | optim.learning_rate | method.rank | optim.epochs " + (
        "| state | score |"
    )
    assert rows[1].startswith(f"| {best.number} |")
    assert "wrote " in capsys.readouterr().out


STARTER = {"task": {"name": "cola"}, "model": "starter"}
RANGE = ["--space", "optim.learning-rate=log:1e-4..1e-2"]


@pytest.fixture
def cut_off(tmp_path) -> Path:
    """A search whose first run is finished, killed before it could say so."""
    folder = tmp_path / "study"
    argv = ["tune", "cola", "--model", "starter", *RANGE, "--output", str(folder)]
    config = RunConfig.parse({**STARTER, "output": str(folder)})
    space = parse_space(RANGE[1:], config)
    folder.mkdir()
    number = search(folder).ask(space, seed=42)
    values = trial_values(config, search(folder).values(number))
    write_finished(folder, "0000", values, curve=[0.1, 0.5])
    (tmp_path / "argv.json").write_text(json.dumps([*argv, "--trials", "1"]))
    return folder


def command(folder: Path) -> list[str]:
    return json.loads((folder.parent / "argv.json").read_text())


def test_a_trial_that_was_cut_off_is_taken_up_and_reported(cut_off, capsys):
    assert main(command(cut_off)) == 0
    best = json.loads((cut_off / "best.json").read_text())
    rate = best["optim"].pop("learning_rate")
    assert 1e-4 <= rate <= 1e-2
    assert best == {**STARTER, "optim": {}}
    table = pandas.read_csv(cut_off / "trials.csv")
    assert table[["trial", "state", "score"]].values.tolist() == [[0, "complete", 0.5]]
    assert (cut_off / "history.png").exists()
    # One trial says nothing about what matters.
    assert not (cut_off / "importance.png").exists()
    card = (cut_off / "README.md").read_text()
    assert f"kerastune train --config {cut_off / 'best.json'}" in card
    assert "| 0 | " in card
    assert "matthews_correlation 0.5" in capsys.readouterr().out


def test_a_trial_of_another_process_is_left_alone(cut_off):
    with alone(cut_off / "study.lock"):
        theirs = claim(run_folder_lock(cut_off / "runs" / "0000"))
    with theirs:
        assert main(command(cut_off)) == 0
        assert search(cut_off).running() == [0]
    assert main(command(cut_off)) == 0
    assert search(cut_off).running() == []


def test_a_run_without_the_metric_is_a_failed_trial(cut_off):
    (cut_off / "runs" / "0000" / "metrics.json").write_text('{"loss": 1.0}')
    assert main(command(cut_off)) == 2
    assert [x.state.name for x in search(cut_off).trials()] == ["FAIL"]
    assert not (cut_off / "best.json").exists()


def test_another_search_in_the_same_folder_is_refused(cut_off, capsys):
    assert main(command(cut_off)) == 0
    assert main([*command(cut_off), "--optim.epochs", "9"]) == 2
    assert "--optim.epochs not given then, 9 now" in capsys.readouterr().err
    other = [x.replace("1e-4", "1e-5") for x in command(cut_off)]
    assert main(other) == 2
    assert "log:0.0001..0.01 then, log:1e-05..0.01 now" in capsys.readouterr().err
    assert main([*command(cut_off), "--runtime.seed", "7"]) == 2
    assert "--runtime.seed 42 then, 7 now" in capsys.readouterr().err


@pytest.mark.parametrize("is_lost", [False, True])
def test_runs_of_another_study_are_not_touched(cut_off, is_lost, capsys):
    assert main(command(cut_off)) == 0
    argv = [*command(cut_off), "--storage", f"sqlite:///{cut_off.parent / 'other.db'}"]
    if is_lost:
        (cut_off / "study.db").unlink()
        argv = command(cut_off)
    assert main(argv) == 2
    assert "holds the runs of another study" in capsys.readouterr().err
    assert (cut_off / "runs" / "0000" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--trials 0", "--trials must be 1 or more"),
        ("--space optim.warmup=1", "a flag and its values"),
        ("--space optim.warmup=-1..1", "--optim.warmup"),
        (
            "--data.train x.csv --data.validation-fraction 0",
            "needs validation rows",
        ),
        ("--storage nonsense", "storage cannot be opened"),
        ("--storage sqlite:////absent/study.db", "storage cannot be opened"),
    ],
)
def test_what_is_refused(flags, message, tmp_path, capsys):
    assert main(f"tune cola {flags} --output {tmp_path / 'x'}".split()) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x" / "runs").exists()


def test_what_starts_the_runs_is_small():
    """Its own memory counts into theirs, see `run_process`."""
    check = (
        "import sys, kerastune_llm.commands.tune, optuna\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_search_in_which_everything_fails_ends_soon(tmp_path, capsys, monkeypatch):
    # A process that fails as a trial does, without TensorFlow to load first.
    fails = "import sys; print('kerastune: No such file'); sys.exit(2)"
    monkeypatch.setattr(tune, "_PROGRAM", (sys.executable, "-c", fails))
    folder = tmp_path / "study"
    argv = ["tune", "cola", "--model", "starter", *RANGE, "--output", str(folder)]
    assert main([*argv, "--trials", "9"]) == 2
    out = capsys.readouterr().out
    assert out.count("failed: No such file") == 3
    assert "giving up: the first 3 trials all failed" in out
    assert [x.state.name for x in search(folder).trials()] == ["FAIL"] * 3
    assert not (folder / "best.json").exists()
