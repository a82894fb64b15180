"""The bundled starter checkpoint and the code that makes it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from transformers import (
    T5Config,
    T5Tokenizer,
    T5TokenizerFast,
    TFT5ForConditionalGeneration,
)

from kerastune_llm.models.building import build_model
from kerastune_llm.models.loading import load_model, load_tokenizer
from kerastune_llm.models.starter import checkpoint, corpus, pretrain
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.tasks import world

FILES = {
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture(scope="module")
def tokenizer() -> T5TokenizerFast:
    return T5TokenizerFast.from_pretrained(pretrain.WEIGHTS)


@pytest.fixture(scope="module")
def model() -> TFT5ForConditionalGeneration:
    config = T5Config.from_pretrained(pretrain.WEIGHTS)
    return build_model(TFT5ForConditionalGeneration, config, seed=0)


def validation_texts() -> list[str]:
    squad = [
        f"question: {row['question']} context: {row['context']}"
        for row in world.squad_sample("validation")
    ]
    cola = [
        f"cola sentence: {row['sentence']}" for row in world.cola_sample("validation")
    ]
    return [*squad, *cola, "acceptable", "unacceptable"]


def test_files_are_complete_and_small():
    files = list(Path(pretrain.WEIGHTS).iterdir())
    assert {path.name for path in files} == FILES
    assert sum(path.stat().st_size for path in files) <= 4_000_000


def test_config_is_a_t5():
    config = T5Config.from_pretrained(pretrain.WEIGHTS)
    assert config.architectures == ["T5ForConditionalGeneration"]
    assert config.model_type == "t5"
    assert config.decoder_start_token_id == config.pad_token_id == 0
    assert config.eos_token_id == 1


def test_special_tokens(tokenizer):
    assert tokenizer.convert_tokens_to_ids(["<pad>", "</s>", "<unk>"]) == [0, 1, 2]
    sentinels = [f"<extra_id_{i}>" for i in range(pretrain.EXTRA_IDS)]
    first = pretrain.VOCAB_SIZE - 1
    ids = tokenizer.convert_tokens_to_ids(sentinels)
    assert ids == list(range(first, first - pretrain.EXTRA_IDS, -1))
    assert len(tokenizer) == pretrain.VOCAB_SIZE


def test_tokenizer_round_trips_the_validation_texts(tokenizer):
    for text in [*validation_texts(), 'Any {other} "text" & 100% of ASCII~']:
        ids = tokenizer(text).input_ids
        assert ids[-1] == tokenizer.eos_token_id
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_fast_and_slow_tokenizer_agree(tokenizer):
    slow = T5Tokenizer.from_pretrained(pretrain.WEIGHTS)
    gap = "Who lives in Halton? <extra_id_0>. Melna."
    for text in [*validation_texts(), gap]:
        assert slow(text).input_ids == tokenizer(text).input_ids


def test_weights_are_half_precision_under_pytorch_names(model):
    path = Path(pretrain.WEIGHTS) / "model.safetensors"
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {"format": "pt"}
    stored = load_file(path)
    parameters = torch_parameters(model)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    assert {name: value.shape for name, value in stored.items()} == shapes
    assert {value.dtype for value in stored.values()} == {np.dtype(np.float16)}
    assert sum(value.size for value in stored.values()) == model.count_params()
    assert all(np.isfinite(value).all() for value in stored.values())


def test_written_again_it_is_the_shipped_one(tmp_path):
    starter, tokenizer = load_model("starter"), load_tokenizer("starter")
    readme = pretrain.make_readme(starter, 3000)
    checkpoint.save(starter, tokenizer, tmp_path / "starter", readme)
    written = {path.name: path for path in (tmp_path / "starter").iterdir()}
    assert set(written) == FILES
    values = load_file(written.pop("model.safetensors"))
    shipped = load_file(Path(pretrain.WEIGHTS) / "model.safetensors")
    assert values.keys() == shipped.keys()
    for name, value in shipped.items():
        assert values[name].dtype == value.dtype
        np.testing.assert_array_equal(values[name], value, err_msg=name)
    for name, path in written.items():
        assert path.read_bytes() == (Path(pretrain.WEIGHTS) / name).read_bytes(), name


def test_stored_config_is_the_one_that_pretraining_builds():
    stored = json.loads((Path(pretrain.WEIGHTS) / "config.json").read_text())
    built = pretrain.make_config().to_dict()
    for key in ("vocab_size", "d_model", "d_ff", "num_layers", "num_heads"):
        assert stored[key] == built[key]


def test_pretraining_text_has_no_held_out_name_and_recoverable_gaps():
    rng = random.Random(2)
    held_out = {r["answers"]["text"][0] for r in world.squad_sample("validation")}
    for _ in range(300):
        text, spans = corpus.make_document(rng)
        assert "question:" not in text
        assert not held_out & set(text.replace(".", " ").split())
        for start, end in spans:
            rest = text[:start] + text[end:]
            assert text[start:end] in rest


def test_corruption_puts_back_to_the_document(tokenizer):
    inputs, targets = corpus.make_examples(random.Random(4), tokenizer, 40, 80, 24)
    assert inputs.shape == (40, 80)
    assert targets.shape == (40, 24)
    last = len(tokenizer) - 1
    lowest = len(tokenizer) - pretrain.EXTRA_IDS
    for source, target in zip(inputs, targets, strict=True):
        gaps = source[source >= lowest].tolist()
        assert gaps == list(range(last, last - len(gaps), -1))
        assert gaps == target[target >= lowest].tolist()
        assert target[target >= 0][-1] == tokenizer.eos_token_id


def test_pointed_heads_leave_some_heads_free(model):
    pretrain.point_heads(model)
    state = {name: p.to_torch() for name, p in torch_parameters(model).items()}
    layer = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    encoder, decoder = state[f"encoder.{layer}"], state[f"decoder.{layer}"]
    assert encoder.max(axis=0).argmin() >= 3
    assert encoder[1, 0] == encoder[17, 1] == decoder[1, 1] == 5
    assert not encoder[:, -2:].any()
    assert not decoder[:, 3:].any()


def test_readme_says_what_it_is():
    text = (Path(pretrain.WEIGHTS) / "README.md").read_text()
    for words in ("not a language model", "Apache-2.0", "held out", "running prose"):
        assert words in text


def test_learning_rate_warms_up_and_decays():
    rates = [pretrain.learning_rate(step, 1000) for step in range(1000)]
    assert rates[0] < rates[pretrain.WARMUP_STEPS // 2] < max(rates)
    assert max(rates) <= pretrain.PEAK_LEARNING_RATE
    assert rates[-1] < pretrain.PEAK_LEARNING_RATE / 100
