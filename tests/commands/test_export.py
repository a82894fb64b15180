"""A run leaves in the forms others open, and comes back; from the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kerastune_llm.backend import keras, tf
from kerastune_llm.cli import main
from kerastune_llm.commands.starting_adapter import with_method_of_adapter
from kerastune_llm.config import RunConfig
from kerastune_llm.methods.method import make_method
from kerastune_llm.methods.peft_format import load_adapter
from kerastune_llm.models.loading import load_model, load_tokenizer
from kerastune_llm.models.sources import STARTER_FOLDER
from tests.full_disk import no_file_above

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
SHORT = (
    "--optim.max-steps 2 --data.max-train-samples 16 --data.max-validation-samples 4 "
    "--optim.batch-size 8 --optim.learning-rate 0.03"
)


def kerastune(command: str) -> int:
    return main(command.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A short LoRA run of the starter."""
    output = tmp_path_factory.mktemp("runs") / "lora"
    lora = "--method lora --method.rank 2 --method.target-modules q,v"
    assert kerastune(f"train squad {lora} --output {output} {SHORT}") == 0
    return output


@pytest.fixture(scope="module")
def adapter(run, tmp_path_factory) -> Path:
    """The run's adapter, exported."""
    folder = tmp_path_factory.mktemp("exported") / "adapter"
    assert kerastune(f"export {run} --to peft {folder}") == 0
    return folder


def logits(model: keras.Model) -> np.ndarray:
    ids = tf.constant([[37, 12, 99, 1], [8, 45, 1, 0]])
    return model({"input_ids": ids, "decoder_input_ids": ids}).logits.numpy()


def with_adapter(folder: Path) -> np.ndarray:
    model = load_model("starter")
    load_adapter(model, folder)
    return logits(model)


def test_transformers_form_is_the_merged_model(run, tmp_path, capsys):
    folder = tmp_path / "whole"
    assert kerastune(f"export {run} --to transformers {folder}") == 0
    said = capsys.readouterr().out
    assert f'AutoModelForSeq2SeqLM.from_pretrained("{folder}")' in said
    assert f"kerastune train squad --model {folder}" in said
    assert {file.name for file in folder.iterdir()} == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "spiece.model",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    card = (folder / "README.md").read_text()
    assert f'AutoModelForSeq2SeqLM.from_pretrained("{folder}")' in card
    assert "4 validation rows" in card
    merged = logits(load_model(folder))
    np.testing.assert_allclose(merged, with_adapter(run / "adapter"), atol=1e-4)
    assert abs(merged - logits(load_model("starter"))).max() > 1e-2
    # What PyTorch's model would be called with; T5 takes no token types.
    saved = json.loads((folder / "tokenizer_config.json").read_text())
    assert saved["model_input_names"] == ["input_ids", "attention_mask"]
    assert "token_type_ids" not in load_tokenizer(folder)("Dogs bark.")


def test_peft_form_is_the_adapter_and_names_a_base_that_exists(run, adapter):
    assert {file.name for file in adapter.iterdir()} == {CONFIG, "README.md", WEIGHTS}
    values = json.loads((adapter / CONFIG).read_text())
    assert values["base_model_name_or_path"] == str(STARTER_FOLDER)
    ours, exported = load_file(run / "adapter" / WEIGHTS), load_file(adapter / WEIGHTS)
    assert ours.keys() == exported.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(exported[name], value, err_msg=name)


def test_training_goes_on_from_an_adapter(adapter, tmp_path):
    output = tmp_path / "on"
    start = f"train squad --adapter {adapter} --output {output} {SHORT}"
    assert kerastune(f"{start} --optim.learning-rate 1e-12") == 0
    before, after = (
        load_file(adapter / WEIGHTS),
        load_file(output / "adapter" / WEIGHTS),
    )
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=1e-8, err_msg=name)
    config = json.loads((output / "config.json").read_text())
    assert config["adapter"] == str(adapter)
    assert (config["method"]["name"], config["method"]["rank"]) == ("lora", 2)
    assert config["method"]["target_modules"] == ["q", "v"]
    # The run's own configuration starts it again: it does not contradict the adapter.
    own = RunConfig.parse(config)
    again = with_method_of_adapter(own)
    methods = [make_method(c.method.name, c.method.options) for c in (own, again)]
    assert methods[0] == methods[1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--method ia3", "--method lora"),
        ("--method full", "--method lora"),
        ("--method lora --method.rank 4", "--method.rank 2"),
        ("--method dora", "--method.use-dora False"),
        ("--from-scratch", "leave --from-scratch out"),
    ],
)
def test_a_contradiction_of_the_adapter_is_refused(
    flags, message, adapter, tmp_path, capsys
):
    output = tmp_path / "run"
    assert kerastune(f"train squad --adapter {adapter} {flags} --output {output}") == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def edit_config(folder: Path, **changes: object) -> None:
    file = folder / CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_weights(folder: Path, change) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def name_another_base(folder: Path) -> None:
    """As if it had been trained on another model of the same shapes."""
    other = folder.with_name("another")
    shutil.copytree(STARTER_FOLDER, other)
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    edit_config(folder, base_model_name_or_path=str(other))


def without_first(stored: dict) -> dict:
    return dict(list(stored.items())[1:])


@pytest.mark.parametrize(
    ("damage", "messages"),
    [
        (lambda f: edit_config(f, peft_type="LOHA"), ["not supported", "LORA", "LOHA"]),
        (lambda f: edit_config(f, task_type="SEQ_CLS"), ["another task", "SEQ_2_SEQ"]),
        (lambda f: edit_config(f, r=4), ["of another shape"]),
        (lambda f: edit_weights(f, without_first), ["missing:"]),
        (lambda f: (f / WEIGHTS).write_bytes(b"?" * 50), ["damaged or cut short"]),
        (
            lambda f: edit_weights(
                f, lambda stored: {k: v.astype(np.int8) for k, v in stored.items()}
            ),
            ["quantised"],
        ),
        (name_another_base, [str(STARTER_FOLDER), "/another", "--model"]),
        (lambda f: (f / CONFIG).unlink(), ["no adapter", CONFIG]),
    ],
)
def test_a_bad_adapter_ends_in_one_message(damage, messages, adapter, tmp_path, capsys):
    bad, output = tmp_path / "bad", tmp_path / "run"
    shutil.copytree(adapter, bad)
    damage(bad)
    assert kerastune(f"train squad --adapter {bad} --output {output} {SHORT}") == 2
    said = capsys.readouterr().err
    assert all(message in said for message in messages), said
    assert "Traceback" not in said and not output.exists()


def test_an_adapter_given_as_the_model_is_sent_to_its_flag(adapter, tmp_path, capsys):
    assert kerastune(f"train squad --model {adapter} --output {tmp_path / 'run'}") == 2
    said = capsys.readouterr().err
    assert f"--model {STARTER_FOLDER} --adapter {adapter}" in said


@pytest.mark.parametrize(
    ("form", "room"), [("transformers", 300_000), ("peft", 20_000)]
)
def test_a_full_disk_leaves_nothing(form, room, run, tmp_path, capsys):
    with no_file_above(room):
        assert kerastune(f"export {run} --to {form} {tmp_path / 'new'}") == 2
    assert "cannot be saved: File too large" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_refusals_write_nothing(run, tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("kept")
    assert kerastune(f"export {run} --to transformers {taken}") == 2
    assert "a new or an empty folder" in capsys.readouterr().err
    assert kerastune(f"export {run} --to onnx {tmp_path / 'new'}") == 2
    assert "transformers Received: onnx" in capsys.readouterr().err
    assert kerastune(f"export {tmp_path / 'none'} --to peft {tmp_path / 'new'}") == 2
    assert "no run in this folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert [path.name for path in taken.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("flags", "messages"),
    [
        (
            "--to savedmodel --name a/b --version 0 --num-beams -1",
            ["a plain word", "'a/b'", "--version must be positive", "--num-beams must"],
        ),
        ("--to savedmodel --version two", ["invalid int value: 'two'"]),
        ("--to savedmodel --nam x", ["--nam"]),
        ("--to peft --version 2", ["--version: for a served model only"]),
    ],
)
def test_flags_that_make_no_sense_are_refused(flags, messages, run, tmp_path, capsys):
    assert kerastune(f"export {run} {tmp_path / 'new'} {flags}") == 2
    said = capsys.readouterr().err
    assert all(message in said for message in messages), said
    assert not list(tmp_path.iterdir())
