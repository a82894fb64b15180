"""Loading: what a checkpoint gives, what starts anew, and what is refused."""

import json
import logging

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.models.loading import load_model, load_model_with_report
from tests.tiny_models import values


@pytest.fixture
def saved(random_model, tmp_path):
    """`saved("bert")`: a folder with a random tiny model in PyTorch's layout."""

    def make(name: str, kind: str | None = None, **changes):
        folder = tmp_path / f"saved-{name}"
        save_model(random_model(name, kind, **changes), None, folder)
        return folder

    return make


def rewrite(folder, change) -> None:
    """Replace the tensors of a folder by `change(tensors)`."""
    tensors = change(load_file(folder / "model.safetensors"))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def assert_values(model, expected: dict[str, np.ndarray]) -> None:
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_base_models_checkpoint_gets_a_new_head(saved):
    folder = saved("bert")
    whole = load_file(folder / "model.safetensors")
    rewrite(
        folder,
        lambda tensors: {
            name.removeprefix("bert."): value
            for name, value in tensors.items()
            if name.startswith("bert.")
        },
    )
    model, report = load_model_with_report(folder, labels=["a", "b", "c"])
    assert set(report.missing) == {"classifier.weight", "classifier.bias"}
    assert not report.unexpected
    loaded = values(model)
    assert loaded.pop("classifier.weight").shape == (3, 16)
    loaded.pop("classifier.bias")
    for name, value in loaded.items():
        np.testing.assert_array_equal(value, whole[name], err_msg=name)


def test_a_prefix_that_the_model_does_not_have_is_dropped(saved):
    folder = saved("t5")
    whole = load_file(folder / "model.safetensors")
    rewrite(folder, lambda tensors: {f"transformer.{n}": v for n, v in tensors.items()})
    assert_values(load_model(folder), whole)


def test_another_tasks_head_is_reported(saved, caplog):
    folder = saved("bert")
    rewrite(
        folder,
        lambda tensors: (
            {n: v for n, v in tensors.items() if "classifier" not in n}
            | {
                "cls.predictions.bias": np.zeros(64, np.float32),
                "bert.embeddings.position_ids": np.arange(40),
            }
        ),
    )
    with caplog.at_level(logging.INFO):
        load_model(folder)
    assert "newly initialised, to be trained: classifier.weight" in caplog.text
    assert "of another task's head, not used: cls.predictions.bias" in caplog.text
    assert "position_ids" not in caplog.text


def test_layers_that_the_configuration_does_not_have_are_a_warning(saved, caplog):
    folder = saved("bert")
    config = json.loads((folder / "config.json").read_text())
    config["num_hidden_layers"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    load_model(folder)
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "without a place in the model of config.json" in record.getMessage()
    assert "bert.encoder.layer.1" in record.getMessage()


def test_a_head_for_other_labels_starts_anew(saved):
    folder = saved("bert")
    model, report = load_model_with_report(folder, labels=["x", "y", "z"])
    assert report.mismatched == (
        "classifier.weight: [2, 16] here [3, 16]",
        "classifier.bias: [2] here [3]",
    )
    assert model.config.id2label == {0: "x", 1: "y", 2: "z"}
    assert model(model.dummy_inputs).logits.shape == (1, 3)


def test_labels_in_another_order_are_a_warning(saved, caplog):
    folder = saved("bert", id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1})
    load_model(folder, labels=["yes", "no"])
    assert "labels in another order (no, yes)" in caplog.text


def test_more_than_the_head_missing_is_refused(saved):
    folder = saved("bert")
    rewrite(
        folder, lambda tensors: {n: v for n, v in tensors.items() if ".1." not in n}
    )
    with pytest.raises(UserError, match=r"lacks 16 of the model's weights") as error:
        load_model(folder)
    assert "bert.encoder.layer.1.attention.self.query.weight" in str(error.value)
    assert "and 10 more" in str(error.value)
    assert "--from-scratch" in str(error.value)


def test_another_models_weights_are_refused(saved, write_config):
    other = saved("distilbert")
    folder = write_config("bert")
    (other / "model.safetensors").rename(folder / "model.safetensors")
    with pytest.raises(UserError, match="without a place in the model: distilbert"):
        load_model(folder)


def test_other_shapes_are_refused(saved):
    folder = saved("bert")
    config = json.loads((folder / "config.json").read_text())
    config["intermediate_size"] = 32
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="another shape than config.json") as error:
        load_model(folder)
    assert "intermediate.dense.weight: [24, 16] here [32, 16]" in str(error.value)


def test_a_quantised_checkpoint_is_refused(saved):
    folder = saved("bert")
    rewrite(folder, lambda tensors: {n: v.astype("int8") for n, v in tensors.items()})
    with pytest.raises(UserError, match="quantised"):
        load_model(folder)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_every_float_on_disk_becomes_the_variables_dtype(saved, dtype):
    folder = saved("bert")
    whole = load_file(folder / "model.safetensors")
    narrow = {name: value.astype(dtype) for name, value in whole.items()}
    rewrite(folder, lambda _: narrow)
    model = load_model(folder)
    assert {variable.dtype for variable in model.weights} == {tf.float32}
    assert_values(model, {n: v.astype(np.float32) for n, v in narrow.items()})


def test_old_names_of_layer_norms_are_read(saved):
    folder = saved("bert")
    whole = load_file(folder / "model.safetensors")

    def old(name):
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        return name.replace("LayerNorm.bias", "LayerNorm.beta")

    rewrite(folder, lambda tensors: {old(n): v for n, v in tensors.items()})
    assert_values(load_model(folder), whole)


@pytest.mark.parametrize(
    ("name", "own", "alias"),
    [
        ("t5", "shared.weight", "encoder.embed_tokens.weight"),
        ("t5", "shared.weight", "lm_head.weight"),
        ("bart", "model.shared.weight", "model.decoder.embed_tokens.weight"),
        ("bart", "model.shared.weight", "lm_head.weight"),
        ("led", "led.shared.weight", "led.encoder.embed_tokens.weight"),
    ],
)
def test_tied_embeddings_are_found_under_any_of_their_names(saved, name, own, alias):
    folder = saved(name, "seq2seq")
    whole = load_file(folder / "model.safetensors")
    rewrite(
        folder,
        lambda tensors: {alias if n == own else n: v for n, v in tensors.items()},
    )
    assert_values(load_model(folder), whole)


def test_equal_copies_of_tied_embeddings_are_fine(saved):
    folder = saved("t5")
    whole = load_file(folder / "model.safetensors")
    copies = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    rewrite(folder, lambda t: t | {name: t["shared.weight"] for name in copies})
    model, report = load_model_with_report(folder)
    assert_values(model, whole)
    assert not report.unexpected + report.unplaced


def test_tied_matrices_that_differ_are_refused(saved):
    folder = saved("t5")
    rewrite(folder, lambda t: t | {"lm_head.weight": t["shared.weight"] + 1})
    with pytest.raises(UserError, match="differ that the TensorFlow class has as one"):
        load_model(folder)


@pytest.mark.parametrize(
    ("kept", "gone"),
    [("shared.weight", "lm_head.weight"), ("lm_head.weight", "shared.weight")],
)
def test_an_untied_t5_saved_with_one_matrix(saved, kept, gone):
    folder = saved("t5-untied")
    whole = load_file(folder / "model.safetensors")
    rewrite(folder, lambda tensors: {n: v for n, v in tensors.items() if n != gone})
    model, report = load_model_with_report(folder)
    assert_values(model, whole | {gone: whole[kept]})
    assert report.copied == (f"{gone} from {kept}",)


@pytest.mark.parametrize("name", ["marian", "pegasus"])
def test_sinusoids_need_not_be_in_the_checkpoint(saved, name):
    folder = saved(name)

    def without(tensors):
        return {n: v for n, v in tensors.items() if "embed_positions" not in n}

    rewrite(folder, without)
    model, report = load_model_with_report(folder)
    assert report.missing == ()
    # Vaswani et al. 2017, section 3.5, sines in the first half of the channels.
    angles = np.arange(40)[:, None] / 10000 ** (np.arange(8) / 8)
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    table = values(model)["model.decoder.embed_positions.weight"]
    np.testing.assert_allclose(table, expected, atol=1e-6)


def test_a_folder_without_weights_is_refused(write_config):
    with pytest.raises(UserError, match="has no weights") as error:
        load_model(write_config("t5"))
    assert "config.json" in str(error.value)
    assert "--from-scratch" in str(error.value)


def test_a_broken_generation_config_is_refused(saved):
    folder = saved("t5")
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(UserError, match="generation_config.json is not readable"):
        load_model(folder)


def test_the_generation_config_is_the_checkpoints_own(saved):
    folder = saved("t5")
    settings = {"max_length": 33, "num_beams": 2, "decoder_start_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    assert load_model(folder).generation_config.max_length == 33


def test_loading_inside_a_strategy_and_in_mixed_precision(saved):
    folder = saved("t5")
    whole = load_file(folder / "model.safetensors")
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
            model = load_model(folder)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert_values(model, whole)
    assert {variable.dtype for variable in model.weights} == {tf.float32}
