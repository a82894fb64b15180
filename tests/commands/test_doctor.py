"""The doctor: each silent failure is found before it happens, with its mend."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from kerastune_llm.backend import transformers
from kerastune_llm.cli import main
from kerastune_llm.models.sources import resolve_source


@pytest.fixture
def t5_folder(tmp_path):
    """The starter's tokenizer with the configuration of a tied T5, and some weights."""
    folder = tmp_path / "t5"
    source = resolve_source("starter")
    folder.mkdir()
    for file in source.glob("*token*"):
        shutil.copy(file, folder)
    shutil.copy(source / "spiece.model", folder)
    size = json.loads((source / "config.json").read_text())["vocab_size"]
    transformers.T5Config(
        vocab_size=size, d_model=8, num_layers=1, num_heads=1, d_ff=8, d_kv=8
    ).save_pretrained(folder)
    save_file(
        {"shared.weight": np.zeros([size, 8], np.float32)}, folder / "model.safetensors"
    )
    return folder


def examine(capsys, *argv):
    code = main(["doctor", *argv])
    return code, capsys.readouterr().out


def test_this_installation_is_well(capsys):
    code, out = examine(capsys)
    assert code == 0
    for package in ("tensorflow", "tf-keras", "transformers", "tensorboard"):
        assert f"ok      {package} " in out
    assert "transformers' models are tf-keras 2" in out
    assert "0 problems" in out


def test_a_sound_configuration_has_no_problem(capsys):
    code, out = examine(capsys, "squad")
    assert code == 0
    assert "ok      starter is a t5 model" in out


@pytest.mark.parametrize(
    ("flags", "level", "text"),
    [
        ("--runtime.precision mixed_float16", "problem", "mixed_bfloat16"),
        ("--runtime.precision bfloat16", "problem", "mixed_bfloat16"),
        ("--method head", "warning", "tied to the input embeddings"),
        ("--data.batching pack --method prompt", "problem", "--data.batching bucket"),
        ("--data.batching fixed", "warning", "--data.batching bucket"),
        ("--runtime.jit", "warning", "--no-runtime.jit"),
        ("--from-scratch", "note", "random initial weights"),
    ],
)
def test_settings_that_fail_in_silence(t5_folder, flags, level, text, capsys):
    code, out = examine(capsys, "squad", "--model", str(t5_folder), *flags.split())
    assert code == (2 if level == "problem" else 0)
    _, _, shown = out.partition("configuration")
    lines = shown.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(level))
    assert text in " ".join(lines[start : start + 4])


def test_a_tokenizer_with_more_ids_than_the_embedding(t5_folder, capsys):
    config = json.loads((t5_folder / "config.json").read_text())
    (t5_folder / "config.json").write_text(json.dumps({**config, "vocab_size": 10}))
    code, out = examine(capsys, "squad", "--model", str(t5_folder))
    assert code == 2
    assert "more ids than the model's embedding has rows" in out


def test_pickled_weights_only(t5_folder, capsys):
    (t5_folder / "model.safetensors").rename(t5_folder / "pytorch_model.bin")
    code, out = examine(capsys, "squad", "--model", str(t5_folder))
    assert code == 2
    assert "unpickling runs whatever code" in out


def test_inputs_beyond_the_positions(capsys):
    code, out = examine(
        capsys, "cola", "--model", "minilm", "--data.max-input-tokens", "1000"
    )
    assert code == 2
    assert "at most 512 tokens" in out


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_virtual_tokens_take_positions(method, capsys):
    flags = ["--model", "minilm", "--data.max-input-tokens", "500"]
    assert examine(capsys, "cola", *flags)[0] == 0
    flags += ["--method", method, "--method.num-virtual-tokens", "20"]
    code, out = examine(capsys, "cola", *flags)
    assert code == 2
    # MiniLM has 512 positions.
    assert "at most 492 tokens" in out
    assert "--data.max-input-tokens 492" in out


def test_more_virtual_tokens_than_positions(capsys):
    flags = ["--model", "minilm", "--method", "prompt"]
    flags += ["--method.num-virtual-tokens", "512"]
    code, out = examine(capsys, "cola", *flags)
    assert code == 2
    assert "takes all positions" in out
    assert "at most 511" in out


def test_a_model_that_is_nowhere(capsys):
    code, out = examine(capsys, "squad", "--model", "nobody/nothing")
    assert code == 2
    assert "nobody/nothing" in out


def test_wrong_flags_are_refused_as_in_train(capsys):
    assert main(["doctor", "sqad"]) == 2
    assert "Did you mean squad" in capsys.readouterr().err


def test_addresses_are_tried(capsys, tmp_path):
    (tmp_path / "rows.tsv").write_text("sentence\tlabel\nDogs bark.\t1\n")
    here = f"file://{tmp_path}"
    flags = ["--output", f"{here}/run", "--data.train", f"{here}/rows.tsv"]
    code, out = examine(capsys, "cola", *flags)
    assert code == 0
    assert f"{here}/run can be written" in out and f"{here}/rows.tsv can be read" in out
    code, out = examine(capsys, "cola", "--data.train", f"{here}/other.tsv")
    assert code == 2
    assert "There is no such bucket or file" in out
