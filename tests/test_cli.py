"""The command line: what it answers, and what it refuses before any work."""

import dataclasses
import gc
import json
import re
import subprocess
import sys

import pytest

from kerastune_llm.cli import main
from kerastune_llm.registry import VERBS
from tests.readme import parse


def run(capsys, *argv: str) -> tuple[int, str, str]:
    code = main(list(argv))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_names_every_verb(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    assert set(VERBS.names()) >= {"train", "evaluate", "predict", "list", "doctor"}
    for verb in VERBS.names():
        assert re.search(rf"^    {verb}\s", out, flags=re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS.names())
def test_the_example_in_every_help_can_be_copied_and_is_taken(
    verb, capsys, monkeypatch
):
    with pytest.raises(SystemExit) as done:
        main([verb, "--help"])
    assert done.value.code == 0
    example = capsys.readouterr().out.partition("example:\n")[2]
    command = parse(example.replace("\\\n", " "))
    assert command.words[:2] == ("kerastune", verb)
    # All of the way to the work: the parser, and where it has one the configuration.
    taken = []
    without_work = dataclasses.replace(
        VERBS.get(verb), run=lambda *given: taken.append(given) or 0
    )
    monkeypatch.setitem(VERBS._entries, verb, without_work)
    assert main(command.words[1:]) == 0
    assert taken


def test_help_names_the_options_of_methods(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = capsys.readouterr().out
    assert "--method.blocks" in out
    assert "--optim.learning-rate" in out


def test_list_names_all_kinds(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    for name in ("squad", "cola", "last_n", "matthews_correlation", "lamb"):
        assert name in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["trian"], "Did you mean train"),
        (["list", "task"], "Did you mean tasks?"),
        (["train"], "TASK is required. To mend it: `kerastune list tasks`"),
        (["train", "SQuAD"], "Did you mean squad"),
        (["train", "my.csv"], "kerastune train custom --data.train my.csv"),
        (["train", "squad", "--method", "LoRA"], "Did you mean lora?"),
        (["train", "squad", "--config", "recipe:cola"], "mean cola-distilbert?"),
        (["train", "squad", "--lr", "1"], "did you mean --optim.learning-rate?"),
        (["train", "squad", "--gpus", "1"], "did you mean --runtime.strategy?"),
        (["train", "squad", "--learning_rate", "1"], "mean --optim.learning-rate?"),
        (["train", "squad", "--output_dir", "x"], "did you mean --output?"),
        (["train", "squad", "--zzz"], "`kerastune VERB --help` lists the flags"),
        (["compare", "cola"], "--methods full,lora,head"),
        (["train", "sqad"], "Did you mean squad"),
        (["train", "squad", "cola"], "One argument too many. Received: cola"),
        (["train", "squad", "--data.augment", "shufle"], "Did you mean shuffle?"),
        (["train", "squad", "--method", "haed"], "Did you mean head?"),
        (["train", "squad", "--optim.name", "adamx"], "Did you mean adam"),
        (["train", "squad", "--optim.lr", "1"], "Unknown flag --optim.lr"),
        (["train", "squad", "--optim.batch-size", "x"], "--optim.batch-size"),
        (["train", "squad", "--task.metrics", "f3"], "Unknown metric"),
        (["train", "squad", "--method.blocks", "2"], "blocks"),
        (["train", "squad", "--method", "last_n", "--method.blocks", "0"], "blocks"),
        (["train", "squad", "--method", "freeze"], "train"),
        (["train", "squad", "--config", "absent.json"], "cannot be read"),
        (["evaluate", "absent"], "no run in this folder"),
        (["predict", "absent", "--input", "rows.jsonl"], "no run in this folder"),
        (["predict", "run", "--input", "a", "--output", "b.xml"], "ends in .jsonl"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(argv, message, capsys):
    code, _, err = run(capsys, *argv)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_all_problems_at_once(capsys):
    argv = "train sqad --method last_n --method.blocks -1 --optim.learning-rate -1"
    code, _, err = run(capsys, *argv.split(), "--optim.epoch", "3")
    assert code == 2
    assert "4 problems" in err
    for part in ("squad", "blocks", "--optim.learning-rate", "--optim.epochs"):
        assert part in err


def test_config_file_and_flags_that_override_it(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"task": "squad", "optim": {"epochs": -1}}))
    code, _, err = run(capsys, "train", "--config", str(path))
    assert code == 2
    assert "--optim.epochs" in err
    code, _, err = run(
        capsys, "train", "--config", str(path), "--optim.epochs", "2", "--model", "./no"
    )
    assert code == 2
    assert "--optim.epochs" not in err


def test_the_collector_of_a_process_that_calls_main_stays_as_it_is(capsys):
    before = gc.get_threshold()
    assert run(capsys, "list")[0] == 0
    assert gc.get_threshold() == before


def test_the_installed_command_answers():
    done = subprocess.run(
        [sys.executable, "-m", "kerastune_llm.cli", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "0.1.0"
