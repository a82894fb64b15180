"""Adapters on disk: there and back, what is in the files, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError
from kerastune_llm.methods.adapter import Adapter
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.forms import form_of
from kerastune_llm.methods.lora import LoRA
from kerastune_llm.methods.method import make_method
from kerastune_llm.methods.peft_format import load_adapter, save_adapter
from kerastune_llm.models.delta_layers import delta_layers
from kerastune_llm.models.loading import load_model
from tests.tiny_models import spread, tiny, tiny_batch, train_steps

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def wide(name: str, **changes: object) -> keras.Model:
    model = spread(tiny(name, **changes), 0.2)
    model.config.name_or_path = f"tiny/{name}"
    return model


def logits(model: keras.Model) -> np.ndarray:
    return model(tiny_batch(model)).logits.numpy()


def saved(folder: Path, name: str = "bert", method: str = "lora", **options) -> Path:
    model = wide(name)
    apply_method(model, method, **options)
    train_steps(model)
    save_adapter(model, folder, base_model=f"tiny/{name}")
    return folder


def edit_config(folder: Path, **changes: object) -> None:
    file = folder / CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("method", ["lora", "dora", "ia3", "adapter", "bitfit"])
@pytest.mark.parametrize("name", ["t5", "t5-untied", "bart", "bert", "distilbert"])
def test_there_and_back(name, method, tmp_path):
    model = wide(name)
    apply_method(model, method)
    train_steps(model)
    made = make_method(method, {})
    save_adapter(model, tmp_path / "adapter", base_model=f"tiny/{name}", method=made)
    fresh = wide(name)
    load_adapter(fresh, tmp_path / "adapter")
    np.testing.assert_array_equal(logits(fresh), logits(model))
    trained = [[v.name for v in m.trainable_variables] for m in (fresh, model)]
    assert len(trained[0]) == len(trained[1])
    assert sorted(f.name for f in (tmp_path / "adapter").iterdir()) == [CONFIG, WEIGHTS]


def test_the_files_are_pefts(tmp_path):
    folder = saved(tmp_path / "adapter", method="dora", bias="lora_only")
    values = json.loads((folder / CONFIG).read_text())
    assert values["peft_type"] == "LORA"
    assert values["task_type"] == "SEQ_CLS"
    assert values["base_model_name_or_path"] == "tiny/bert"
    assert values["target_modules"] == ["query", "value"]
    assert values["modules_to_save"] == ["classifier"]
    assert (values["r"], values["lora_alpha"], values["use_dora"]) == (8, 8.0, True)
    stored = load_file(folder / WEIGHTS)
    query = "base_model.model.bert.encoder.layer.0.attention.self.query"
    shapes = {key: value.shape for key, value in stored.items()}
    assert shapes[f"{query}.lora_A.weight"] == (8, 16)
    assert shapes[f"{query}.lora_B.weight"] == (16, 8)
    assert shapes[f"{query}.lora_magnitude_vector"] == (16,)
    assert shapes[f"{query}.base_layer.bias"] == (16,)
    assert shapes["base_model.model.classifier.weight"] == (3, 16)
    assert len(shapes) == 4 * 4 + 2


def test_a_form_of_the_package_s_own_says_so(tmp_path, caplog):
    options = {"bottleneck": 3, "activation": "gelu", "modules_to_save": ("pooler",)}
    with caplog.at_level("INFO"):
        folder = saved(tmp_path / "adapter", method="adapter", **options)
    assert "PEFT has no form for adapter" in caplog.text
    values = json.loads((folder / CONFIG).read_text())
    assert values["peft_type"] == "KERASTUNE_ADAPTER"
    assert "method adapter: PEFT has none for it and cannot open this" in values["note"]
    assert (values["bottleneck"], values["activation"]) == (3, "gelu")
    assert values["modules_to_save"] == ["classifier", "pooler"]
    stored = load_file(folder / WEIGHTS)
    output = "base_model.model.bert.encoder.layer.0.attention.output.dense"
    assert stored[f"{output}.adapter_down.weight"].shape == (3, 16)
    assert stored[f"{output}.adapter_up.weight"].shape == (16, 3)
    assert len(stored) == 4 * 4 + 2 + 2
    assert load_adapter(wide("bert"), folder) == Adapter(**options)


def test_the_method_of_the_layers_is_saved_whatever_is_given(tmp_path):
    model = wide("bert")
    apply_method(model, "lora", rank=3)
    folder = tmp_path / "adapter"
    save_adapter(model, folder, base_model="tiny/bert", method=LoRA(rank=4))
    assert load_adapter(wide("bert"), folder).rank == 3


def test_a_method_without_a_name_is_refused():
    class Nameless(LoRA):
        form = None

    with pytest.raises(UserError, match="(?s)name of its method.*METHODS.register"):
        form_of(Nameless)


def test_the_method_comes_back(tmp_path):
    options = {"rank": 3, "alpha": 5.0, "use_rslora": True}
    folder = saved(tmp_path / "adapter", modules_to_save=("pooler",), **options)
    method = load_adapter(wide("bert"), folder)
    assert method == LoRA(
        rank=3,
        alpha=5.0,
        use_rslora=True,
        target_modules=("query", "value"),
        modules_to_save=("pooler",),
    )


def remove_weight(folder: Path) -> None:
    stored = load_file(folder / WEIGHTS)
    stored.pop(next(key for key in stored if "lora_B" in key))
    save_file(stored, folder / WEIGHTS)


def add_weight(folder: Path) -> None:
    stored = load_file(folder / WEIGHTS)
    extra = {"base_model.model.bert.pooler.extra": np.zeros(3, np.float32)}
    save_file(stored | extra, folder / WEIGHTS)


def quantise(folder: Path) -> None:
    stored = load_file(folder / WEIGHTS)
    save_file({k: v.astype(np.int8) for k, v in stored.items()}, folder / WEIGHTS)


def cut_short(folder: Path) -> None:
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_weight, "missing: bert.encoder.layer.0.*lora_B"),
        (add_weight, "without a place in the model: bert.pooler.extra"),
        (quantise, "quantised"),
        (cut_short, "damaged or cut short"),
        (lambda f: (f / WEIGHTS).unlink(), "has no weights"),
        (lambda f: (f / CONFIG).unlink(), "no adapter"),
        (lambda f: (f / CONFIG).write_text("{"), "not readable"),
        (lambda f: (f / CONFIG).write_text("[]"), "no JSON object"),
        (lambda f: edit_config(f, r=4), "of another shape"),
        (lambda f: edit_config(f, r=-4), "rank"),
        (lambda f: edit_config(f, target_modules=["q"]), "q matches no dense module"),
        (lambda f: edit_config(f, peft_type="LOHA"), "IA3.*LORA.*\n.*LOHA"),
        (lambda f: edit_config(f, task_type="TOKEN_CLS"), "another task"),
        (lambda f: edit_config(f, rank_pattern={"q": 3}), "rank_pattern"),
        (lambda f: edit_config(f, init_lora_weights="pissa"), "pissa"),
    ],
)
def test_a_refusal_leaves_the_model_as_it_was(damage, message, tmp_path):
    folder = saved(tmp_path / "adapter")
    damage(folder)
    model = wide("bert")
    output, weights = logits(model), [id(v) for v in model.trainable_variables]
    with pytest.raises(UserError, match=message):
        load_adapter(model, folder)
    assert [id(v) for v in model.trainable_variables] == weights
    assert not delta_layers(model)
    np.testing.assert_array_equal(logits(model), output)


def test_another_base_model_is_refused_with_both_names(tmp_path):
    folder = saved(tmp_path / "adapter")
    for other in (wide("distilbert"), wide("bert", hidden_size=32)):
        with pytest.raises(UserError, match="(?s)does not fit.*an adapter of tiny/"):
            load_adapter(other, folder)
        assert not delta_layers(other)


def test_another_path_alone_is_a_warning(tmp_path, caplog):
    folder = saved(tmp_path / "adapter")
    load_adapter(wide("bert"), folder)
    assert not caplog.text
    other = wide("bert")
    other.config.name_or_path = "/elsewhere/bert"
    load_adapter(other, folder)
    assert "tiny/bert" in caplog.text and "/elsewhere/bert" in caplog.text


def test_a_bundled_model_is_named_by_its_folder(tmp_path, caplog):
    """PEFT opens what the adapter names, and it knows no `starter`."""
    model = load_model("starter")
    apply_method(model, "lora")
    save_adapter(model, tmp_path, base_model="starter")
    named = json.loads((tmp_path / CONFIG).read_text())["base_model_name_or_path"]
    assert (Path(named) / "model.safetensors").is_file()
    load_adapter(load_model("starter"), tmp_path)
    assert not caplog.records


def test_another_model_of_the_same_shapes_is_refused_with_both_names(tmp_path):
    folder = saved(tmp_path / "adapter")
    other = wide("bert")
    other.config.name_or_path = "tiny/another-bert"
    with pytest.raises(UserError, match="(?s)another model.*tiny/another-bert.*/bert"):
        load_adapter(other, folder)
    assert not delta_layers(other)


def test_a_model_with_an_adapter_takes_no_second(tmp_path):
    folder = saved(tmp_path / "adapter")
    model = wide("bert")
    load_adapter(model, folder)
    with pytest.raises(UserError, match="remove_delta"):
        load_adapter(model, folder)


def test_saving_needs_an_adapter_and_a_free_place(tmp_path):
    model = wide("bert")
    with pytest.raises(UserError, match="no adapter to save"):
        save_adapter(model, tmp_path / "adapter", base_model="tiny/bert")
    apply_method(model, "lora")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match="something other than an adapter"):
        save_adapter(model, tmp_path / "notes", base_model="tiny/bert")
    save_adapter(model, tmp_path / "adapter", base_model="tiny/bert")
    (tmp_path / "adapter" / "README.md").write_text("kept")
    save_adapter(model, tmp_path / "adapter", base_model="other")
    assert (tmp_path / "adapter" / "README.md").read_text() == "kept"
    values = json.loads((tmp_path / "adapter" / CONFIG).read_text())
    assert values["base_model_name_or_path"] == "other"
