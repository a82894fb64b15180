"""Write tiny random checkpoints and their logits with PyTorch and transformers 5.

    python make_checkpoints.py TINY_CONFIGS.json OUTPUT

For each model a folder with the checkpoint and `reference.npz`: the inputs and the
logits. Every parameter is moved away from its initial value, so that a tensor that
ends up in the wrong place, or nowhere, changes the logits.
"""

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
)

CLASSES = {
    "seq2seq": MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    "classification": MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
}
LENGTH, PADDING = 12, 3
# A folder of each of these is written in the other ways a checkpoint can be stored.
VARIANTS = ("t5", "bert")


def make_config(values: dict) -> transformers.PretrainedConfig:
    values = dict(values)
    model_type = values.pop("model_type")
    if model_type == "encoder-decoder":
        return transformers.EncoderDecoderConfig(**values)
    return transformers.AutoConfig.for_model(model_type, **values)


def untie(model: torch.nn.Module) -> None:
    """Give a T5 an output layer of its own, which version 5 makes only on loading."""
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
    model.all_tied_weights_keys.pop("lm_head.weight")


def perturb(model: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    biases = (b for name, b in model.named_buffers() if name == "final_logits_bias")
    with torch.no_grad():
        for value in [p for p in model.parameters() if p.requires_grad] + [*biases]:
            value.add_(0.2 * torch.randn(value.shape, generator=generator))


def make_inputs(config: transformers.PretrainedConfig, kind: str) -> dict:
    pad = config.pad_token_id or 0
    random = np.random.default_rng(0)
    ids = random.integers(5, 60, size=(2, LENGTH))
    mask = np.ones_like(ids)
    ids[1, -PADDING:], mask[1, -PADDING:] = pad, 0
    if config.model_type == "bart":  # Its classifier looks for the end of the text.
        ids[0, -1] = ids[1, -PADDING - 1] = config.eos_token_id
    inputs = {"input_ids": ids, "attention_mask": mask}
    if config.model_type == "layoutlmv3":
        inputs["bbox"] = np.zeros((2, LENGTH, 4), dtype=ids.dtype)
        inputs["pixel_values"] = random.normal(size=(2, 3, 32, 32)).astype("float32")
    if kind == "seq2seq":
        inputs["decoder_input_ids"] = random.integers(5, 60, size=(2, 7))
    return inputs


def logits_of(model: torch.nn.Module, inputs: dict) -> np.ndarray:
    model.eval()
    with torch.no_grad():
        outputs = model(**{name: torch.tensor(value) for name, value in inputs.items()})
    return outputs.logits.numpy()


def write(model: torch.nn.Module, kind: str, folder: Path, **how) -> None:
    inputs = make_inputs(model.config, kind)
    logits = logits_of(copy.deepcopy(model).float(), inputs)
    model.save_pretrained(folder, **how)
    np.savez(folder / "reference.npz", logits=logits, **inputs)


def write_variants(model: torch.nn.Module, kind: str, output: Path, name: str) -> None:
    write(model, kind, output / f"{name}-sharded", max_shard_size="15KB")
    model.base_model.save_pretrained(output / f"{name}-base")
    for dtype in (torch.float16, torch.bfloat16):
        label = str(dtype).removeprefix("torch.")
        write(copy.deepcopy(model).to(dtype), kind, output / f"{name}-{label}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("configs", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    skipped = {}
    for kind, configs in json.loads(arguments.configs.read_text()).items():
        for seed, (name, values) in enumerate(configs.items()):
            if values["model_type"] not in (*transformers.CONFIG_MAPPING,):
                skipped[f"{kind}-{name}"] = "transformers 5 does not have it"
                continue
            torch.manual_seed(seed)
            config = make_config(values)
            model = CLASSES[kind][type(config)](config)
            if values.get("tie_word_embeddings") is False:
                perturb(model, seed)
                write(model, kind, arguments.output / f"{kind}-{name}-one-matrix")
                untie(model)
            perturb(model, seed)
            write(model, kind, arguments.output / f"{kind}-{name}")
            if name in VARIANTS:
                write_variants(model, kind, arguments.output, f"{kind}-{name}")
    write_pretraining(arguments.output)
    (arguments.output / "skipped.json").write_text(json.dumps(skipped))


def write_pretraining(output: Path) -> None:
    """The body of the BERT classifier under another task's head."""
    body = output / "classification-bert"
    model = transformers.BertForPreTraining.from_pretrained(body)
    model.save_pretrained(output / "classification-bert-pretraining")


if __name__ == "__main__":
    main()
