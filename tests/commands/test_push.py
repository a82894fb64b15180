"""What is pushed arrives at a stand-in of the hub, through the hub's own client."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, constants
from huggingface_hub.utils import reset_sessions
from safetensors.numpy import load, load_file

from kerastune_llm.cli import main
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.rundir import RunDir, write_json, write_text
from tests.commands.hub_stand_in import TOKEN, Hub, hub_on_loopback
from tests.tiny_models import tiny
from tests.tiny_tokenizers import fast_tokenizer

ADAPTER_WEIGHTS = b"stands for the weights of an adapter" * 100


def write_run(path: Path, model: str, method: str) -> RunDir:
    run = RunDir(path)
    write_json(run.config, {"task": "cola", "model": model, "method": method})
    write_json(run.metrics, {"accuracy": 0.75, "loss": 0.5})
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A finished run that trained all of a tiny BERT."""
    folder = tmp_path_factory.mktemp("runs")
    run = write_run(folder / "whole", str(folder / "whole" / "model"), "full")
    save_model(tiny("bert", num_labels=2), fast_tokenizer(), run.model)
    return run.path


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    """A finished run with an adapter for MiniLM, which is on the hub."""
    run = write_run(tmp_path_factory.mktemp("runs") / "adapter", "minilm", "lora")
    config = {"peft_type": "LORA", "base_model_name_or_path": "/home/me/minilm"}
    write_json(run.adapter / "adapter_config.json", config)
    (run.adapter / "adapter_model.safetensors").write_bytes(ADAPTER_WEIGHTS)
    return run.path


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Hub]:
    with hub_on_loopback() as hub:
        yield hub


@pytest.fixture
def hub(stand_in, monkeypatch, tmp_path) -> Iterator[Hub]:
    """The stand-in as this process's hub, empty, and a token that it accepts."""
    stand_in.__init__(endpoint=stand_in.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", stand_in.endpoint)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    reset_sessions()  # A session remembers whether it is offline.
    yield stand_in
    reset_sessions()


def test_a_whole_model_is_pushed_from_the_command_line(whole, hub):
    """In a process of its own, told of the hub by the environment alone."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = ["push", str(whole), "--repo", "me/whole", "--revision", "dev"]
    done = subprocess.run(
        [sys.executable, "-m", "kerastune_llm.cli", *command, "--private"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert f"pushed: {hub.endpoint}/me/whole/commit/c0ffee" in done.stdout
    assert hub.private == {"me/whole": True}
    arrived = hub.files["me/whole@dev"]
    assert {"README.md", "config.json", "tokenizer.json"} <= set(arrived)
    sent, own = (
        load(arrived["model.safetensors"]),
        load_file(whole / "model" / "model.safetensors"),
    )
    assert sent.keys() == own.keys()
    assert all((sent[name] == own[name]).all() for name in own)
    card = arrived["README.md"].decode()
    assert '.from_pretrained("me/whole")' in card
    assert ModelCard(card).data.eval_results[0].metric_value == 0.75


def test_an_adapter_names_its_base_by_the_hub_s_name(adapter, hub, capsys):
    assert main(["push", str(adapter), "--repo", "me/adapter"]) == 0
    arrived = hub.files["me/adapter@main"]
    assert set(arrived) == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert arrived["adapter_model.safetensors"] == ADAPTER_WEIGHTS
    base = "sentence-transformers/all-MiniLM-L6-v2"
    config = json.loads(arrived["adapter_config.json"])
    assert config == {"peft_type": "LORA", "base_model_name_or_path": base}
    assert ModelCard(arrived["README.md"].decode()).data.base_model == base
    # The run itself goes on naming the folder that this machine has.
    own = json.loads((adapter / "adapter" / "adapter_config.json").read_text())
    assert own["base_model_name_or_path"] == "/home/me/minilm"
    # The same again writes to the repository that is there now.
    assert main(["push", str(adapter), "--repo", "me/adapter"]) == 0


def test_a_dry_run_says_what_would_go_and_asks_nothing(adapter, hub, capsys):
    assert main(["push", str(adapter), "--repo", "me/adapter", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "for me/adapter, branch main" in said
    assert f"{len(ADAPTER_WEIGHTS):,}" in said and "README.md" in said
    assert hub.requests == []


def test_no_token(adapter, hub, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN")
    assert main(["push", str(adapter), "--repo", "me/x"]) == 2
    assert "There is no token for the hub." in capsys.readouterr().err
    assert hub.requests == []


def test_a_token_that_is_not_accepted(adapter, hub, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert main(["push", str(adapter), "--repo", "me/x"]) == 2
    said = capsys.readouterr().err
    assert "does not accept the token" in said and "hf auth login" in said


def test_somebody_else_s_repository(adapter, hub, capsys):
    assert main(["push", str(adapter), "--repo", "others/x"]) == 2
    said = capsys.readouterr().err
    assert "may not write to this repository" in said and "others/x" in said
    assert hub.files == {}


def test_what_is_to_be_private_does_not_go_to_a_public_repository(adapter, hub, capsys):
    hub.private["me/public"] = False
    assert main(["push", str(adapter), "--repo", "me/public", "--private"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("kerastune: The repository exists and is public")
    assert hub.files == {}


def test_a_card_that_the_hub_refuses(adapter, hub, capsys):
    hub.refuses_card = True
    assert main(["push", str(adapter), "--repo", "me/x"]) == 2
    assert "no good" in capsys.readouterr().err
    assert hub.files == {}


def test_no_way_to_the_hub(adapter, hub, monkeypatch, capsys):
    # Nothing listens on the discard port of loopback.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert main(["push", str(adapter), "--repo", "me/x"]) == 2
    assert "The hub cannot be reached" in capsys.readouterr().err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["push", str(adapter), "--repo", "me/x"]) == 2
    assert "HF_HUB_OFFLINE forbids" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("absent --repo me/x", "no run in this folder"),
        ("unfinished --repo me/x", "kerastune resume unfinished"),
        ("whole --repo me", "user/name"),
        ("whole --repo me/a/b", "user/name"),
        ("whole --repo me/x --form adapter --dry-run", "This run has no adapter"),
        ("starter --repo me/x --dry-run", "on this machine alone"),
        ("whole --repo me/x --form half", "adapter, whole"),
        ("whole", "--repo"),
    ],
)
def test_refusals(arguments, message, whole, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("whole").symlink_to(whole)
    write_run(Path("unfinished"), "minilm", "lora").metrics.unlink()
    starter = write_run(Path("starter"), "starter", "lora")
    write_text(starter.adapter / "adapter_config.json", "{}")
    assert main(["push", *arguments.split()]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
