"""Adapters cross over to PEFT and back, proven by the logits."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.peft_format import load_adapter, save_adapter
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.models.loading import load_model
from tests.tiny_models import spread, tiny, tiny_batch

REPOSITORY = Path(__file__).parents[2]
PYTHON = REPOSITORY / ".venv-interop" / "bin" / "python"
TOLERANCE = 1e-4

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-interop (make interop)"),
]

MODELS = {"t5": "SEQ_2_SEQ_LM", "bart": "SEQ_2_SEQ_LM", "bert": "SEQ_CLS"}
WHOLE = {"t5": "final_layer_norm", "bart": "layernorm_embedding", "bert": "pooler"}
# Our method and options, PEFT's class and options.
FORMS = {
    "lora": ("lora", {"rank": 4, "alpha": 6}, {"r": 4, "lora_alpha": 6}),
    "rslora": ("lora", {"use_rslora": True}, {"use_rslora": True}),
    "dora": ("dora", {}, {"use_dora": True}),
    "bias-all": ("lora", {"bias": "all"}, {"bias": "all"}),
    "bias-lora-only": ("lora", {"bias": "lora_only"}, {"bias": "lora_only"}),
    "all-linear": ("lora", {"target_modules": "all-linear"}, None),
    "modules-to-save": ("lora", {"modules_to_save": ()}, {"modules_to_save": []}),
    "ia3": ("ia3", {}, {}),
    "prefix": ("prefix", {"num_virtual_tokens": 5}, {"num_virtual_tokens": 5}),
    "prefix-projected": (
        "prefix",
        {"num_virtual_tokens": 4, "use_projection": True, "projection_width": 12},
        {"num_virtual_tokens": 4, "prefix_projection": True, "encoder_hidden_size": 12},
    ),
    "prompt": ("prompt", {"num_virtual_tokens": 5}, {"num_virtual_tokens": 5}),
    # PEFT's default for an encoder-decoder keeps as many vectors again, unused.
    "prompt-single": (
        "prompt",
        {"num_virtual_tokens": 3, "initial_tokens": (7, 9)},
        {"num_virtual_tokens": 3, "num_transformer_submodules": 1},
    ),
}
CLASSES = {
    "lora": "LoraConfig",
    "dora": "LoraConfig",
    "ia3": "IA3Config",
    "prefix": "PrefixTuningConfig",
    "prompt": "PromptTuningConfig",
}
CASES = [f"{model}-{form}" for model in MODELS for form in FORMS]


def base_model(name: str) -> keras.Model:
    model = spread(tiny(name), 0.3)
    for variable in model.trainable_variables:
        noise = tf.random.stateless_normal(variable.shape, (3, 5), stddev=0.1)
        variable.assign_add(noise)
    return model


def perturb(model: keras.Model) -> None:
    """Move everything that trains away from where it starts."""
    for number, variable in enumerate(model.trainable_variables):
        noise = np.random.default_rng(number).normal(0, 0.2, variable.shape)
        variable.assign_add(tf.cast(noise, variable.dtype))


def logits(model: keras.Model, folder: Path) -> np.ndarray:
    inputs = dict(np.load(folder / "inputs.npz"))
    return model({n: tf.constant(v) for n, v in inputs.items()}).logits.numpy()


def options_of(case: str) -> tuple[str, dict, dict]:
    name, _, form = case.partition("-")
    method, ours, theirs = FORMS[form]
    theirs = {"target_modules": "all-linear"} if theirs is None else dict(theirs)
    if form == "modules-to-save":
        ours = {"modules_to_save": (WHOLE[name],)}
        theirs = {"modules_to_save": [WHOLE[name]]}
    return method, ours, theirs


def write_case(case: str, base: Path, folder: Path) -> np.ndarray:
    """Our adapter and what PEFT has to do, in a folder; our logits."""
    folder.mkdir()
    name = case.partition("-")[0]
    method, ours, theirs = options_of(case)
    model = load_model(base)
    batch = tiny_batch(model)
    inputs = {n: v.numpy().astype(np.int64) for n, v in batch.items() if n != "labels"}
    if MODELS[name] == "SEQ_2_SEQ_LM":
        inputs["decoder_input_ids"] = batch["labels"].numpy().astype(np.int64)
    inputs["attention_mask"][0, -3:] = 0
    np.savez(folder / "inputs.npz", **inputs)
    before = logits(model, folder)
    apply_method(model, method, **ours)
    perturb(model)
    save_adapter(model, folder / "ours", base_model=str(base))
    description = {
        "base": str(base),
        "task": MODELS[name],
        "class": CLASSES[method],
        "options": theirs,
    }
    (folder / "case.json").write_text(json.dumps(description))
    after = logits(model, folder)
    assert abs(after - before).max() > 100 * TOLERANCE
    return after


@pytest.fixture(scope="module")
def crossed(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    """Every case through PEFT: the folder, and our logits."""
    output = tmp_path_factory.mktemp("adapters")
    for name in MODELS:
        save_model(base_model(name), None, output / name)
    ours = {
        case: write_case(case, output / case.partition("-")[0], output / case)
        for case in CASES
    }
    script = Path(__file__).with_name("run_adapters.py")
    command = [PYTHON, script, *(output / case for case in CASES)]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return output, ours


def check(record, case: str, way: str, one: np.ndarray, other: np.ndarray) -> None:
    """Two logits are the same; how far they are apart is shown at the end."""
    name, _, form = case.partition("-")
    difference = float(abs(one - other).max())
    record("logit difference", [form, f"{name} {way} PEFT", difference])
    np.testing.assert_allclose(one, other, atol=TOLERANCE)


@pytest.mark.parametrize("case", CASES)
def test_our_adapter_gives_our_logits_in_peft(crossed, case, record_property):
    output, ours = crossed
    opened = np.load(output / case / "opened.npz")["logits"]
    check(record_property, case, "to", opened, ours[case])


@pytest.mark.parametrize("case", CASES)
def test_pefts_adapter_gives_pefts_logits_here(crossed, case, record_property):
    output, _ = crossed
    model = load_model(output / case.partition("-")[0])
    load_adapter(model, output / case / "theirs")
    made = np.load(output / case / "made.npz")["logits"]
    check(record_property, case, "from", logits(model, output / case), made)
