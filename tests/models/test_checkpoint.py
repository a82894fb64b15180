"""Saving: what is written can be read, by others too, and nothing is ever lost."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from kerastune_llm.backend import keras, transformers
from kerastune_llm.errors import UserError
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.models.loading import load_model_with_report, load_tokenizer
from kerastune_llm.models.torch_layout import torch_parameters
from tests.full_disk import no_file_above


def assert_same_weights(model, other):
    ours, theirs = torch_parameters(model), torch_parameters(other)
    assert list(ours) == list(theirs)
    for name, parameter in ours.items():
        values = parameter.variable.numpy(), theirs[name].variable.numpy()
        np.testing.assert_array_equal(*values, err_msg=name)


def test_the_folder_holds_what_hugging_face_expects(random_model, tmp_path):
    model = random_model("t5-untied")
    save_model(model, None, tmp_path / "saved")
    files = {path.name for path in (tmp_path / "saved").iterdir()}
    assert files == {"config.json", "generation_config.json", "model.safetensors"}
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["architectures"] == ["T5ForConditionalGeneration"]
    assert config["dtype"] == "float32"
    assert config["tie_word_embeddings"] is False
    assert str(tmp_path) not in json.dumps(config)
    with safe_open(tmp_path / "saved" / "model.safetensors", "numpy") as archive:
        assert archive.metadata() == {"format": "pt"}
        assert set(archive.keys()) == set(torch_parameters(model))
    assert model.config.architectures is None


def test_weights_are_written_in_the_dtype_asked_for(random_model, tmp_path):
    model = random_model("bert")
    folder = tmp_path / "saved"
    save_model(model, None, folder, dtype="float16", max_shard_bytes=10_000)
    stored = {}
    for shard in folder.glob("model-*.safetensors"):
        values = load_file(shard)
        assert sum(value.nbytes for value in values.values()) <= 10_000
        stored |= values
    for name, parameter in torch_parameters(model).items():
        expected = parameter.to_torch().astype(np.float16)
        np.testing.assert_array_equal(stored[name], expected, err_msg=name)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    total = sum(value.nbytes for value in stored.values())
    assert index["metadata"]["total_size"] == total


def test_a_classifier_has_no_generation_config_but_its_labels(write_config, tmp_path):
    model, _ = load_model_with_report(
        write_config("bert"), labels=["wrong", "right"], from_scratch=True
    )
    save_model(model, None, tmp_path / "saved")
    assert not (tmp_path / "saved" / "generation_config.json").exists()
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["id2label"] == {"0": "wrong", "1": "right"}
    assert config["label2id"] == {"wrong": 0, "right": 1}


def test_above_the_limit_there_are_shards_and_an_index(random_model, tmp_path):
    model = random_model("bert")
    save_model(model, None, tmp_path / "saved", max_shard_bytes=10_000)
    folder = tmp_path / "saved"
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    parameters = torch_parameters(model)
    sizes = {name: value.to_torch().nbytes for name, value in parameters.items()}
    assert index["metadata"]["total_size"] == sum(sizes.values())
    assert set(index["weight_map"]) == set(parameters)
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 2 and shards[0].name.endswith(
        f"-of-{len(shards):05d}.safetensors"
    )
    for shard in shards:
        values = load_file(shard)
        assert sum(value.nbytes for value in values.values()) <= 10_000
        for name, value in values.items():
            assert index["weight_map"][name] == shard.name
            np.testing.assert_array_equal(value, parameters[name].to_torch())
    again, _ = load_model_with_report(folder)
    assert_same_weights(model, again)


def test_a_later_save_replaces_the_model_and_keeps_other_files(random_model, tmp_path):
    model = random_model("bert")
    folder = tmp_path / "saved"
    save_model(model, None, folder, max_shard_bytes=10_000)
    (folder / "README.md").write_text("mine")
    (folder / "vocab.txt").write_text("[PAD]\n")
    (folder / "plots").mkdir()
    (folder / "plots" / "loss.txt").write_text("1.0")
    model.weights[0].assign_add(np.ones(model.weights[0].shape, "float32"))
    save_model(model, None, folder)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == {
        "config.json",
        "model.safetensors",
        "README.md",
        "vocab.txt",
        "plots",
        "plots/loss.txt",
    }
    again, _ = load_model_with_report(folder)
    assert_same_weights(model, again)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_the_tokenizer_goes_along(random_model, tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    save_model(random_model("bert"), tokenizer, tmp_path / "saved")
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert opened("a b a")["input_ids"] == [2, 5, 6, 5, 3]


def test_the_earlier_tokenizer_goes_when_another_comes(random_model, tmp_path):
    folder = tmp_path / "saved"
    model = random_model("bert")
    save_model(model, None, folder)
    (folder / "spiece.model").write_text("of the earlier model")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    save_model(model, tokenizer, folder)
    assert not (folder / "spiece.model").exists()
    assert load_tokenizer(folder)("a")["input_ids"] == [2, 5, 3]


def test_generation_settings_that_contradict_do_not_stop_a_save(random_model, tmp_path):
    model = random_model("t5")
    model.generation_config.temperature = 0.5  # Has no effect without sampling.
    model.generation_config.max_new_tokens = 7
    save_model(model, None, tmp_path / "saved")
    again, _ = load_model_with_report(tmp_path / "saved")
    assert again.generation_config.max_new_tokens == 7


def test_a_bfloat16_model_stays_one(random_model, tmp_path):
    keras.mixed_precision.set_global_policy("bfloat16")
    try:
        model = random_model("t5")
        save_model(model, None, tmp_path / "saved")
        again, _ = load_model_with_report(tmp_path / "saved")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    values = load_file(tmp_path / "saved" / "model.safetensors")
    assert {value.dtype.name for value in values.values()} == {"bfloat16"}
    assert_same_weights(model, again)


def test_a_full_disk_leaves_the_earlier_model(random_model, tmp_path):
    earlier = random_model("bert")
    folder = tmp_path / "saved"
    save_model(earlier, None, folder)
    later = random_model("distilbert")
    with no_file_above(8_000), pytest.raises(UserError, match="cannot be saved"):
        save_model(later, None, folder)
    again, _ = load_model_with_report(folder)
    assert_same_weights(earlier, again)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_kill_while_saving_leaves_the_earlier_model(random_model, tmp_path):
    earlier = random_model("bert")
    folder = tmp_path / "saved"
    save_model(earlier, None, folder)
    # The kernel kills the process in the middle of writing the weights.
    code = (
        "import resource, signal, sys\n"
        "from kerastune_llm.models.loading import load_model\n"
        "from kerastune_llm.models.checkpoint import save_model\n"
        "model = load_model(sys.argv[1])\n"
        "model.weights[0].assign(model.weights[0] * 0.0)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))\n"
        "save_model(model, None, sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=os.getcwd())
    assert done.returncode == -signal.SIGXFSZ
    again, _ = load_model_with_report(folder)
    assert_same_weights(earlier, again)


def test_a_folder_with_other_things_is_refused(random_model, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="something other than a model"):
        save_model(random_model("bert"), None, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_file_in_the_place_is_refused(random_model, tmp_path):
    (tmp_path / "model").write_text("")
    with pytest.raises(UserError, match="is a file"):
        save_model(random_model("bert"), None, tmp_path / "model")


def test_a_parent_that_is_a_file_is_refused(random_model, tmp_path):
    (tmp_path / "model").write_text("")
    with pytest.raises(UserError, match="cannot be saved"):
        save_model(random_model("bert"), None, tmp_path / "model" / "deeper")
