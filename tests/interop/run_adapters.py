"""Open adapters made elsewhere with PEFT, and make others with it.

    python run_adapters.py FOLDER...

Each folder has `case.json` (the base model's folder, its kind, a configuration of
PEFT), `inputs.npz` and `ours/`, an adapter. `opened.npz` gets the logits with that
adapter, `theirs/` an adapter with random weights made by PEFT, `made.npz` its logits.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import peft
import torch
import transformers

CLASSES = {
    "SEQ_2_SEQ_LM": transformers.AutoModelForSeq2SeqLM,
    "SEQ_CLS": transformers.AutoModelForSequenceClassification,
}


def logits(model: torch.nn.Module, folder: Path) -> np.ndarray:
    inputs = np.load(folder / "inputs.npz")
    tensors = {name: torch.tensor(inputs[name]) for name in inputs.files}
    with torch.no_grad():
        return model.eval()(**tensors).logits.numpy()


def open_ours(base: torch.nn.Module, folder: Path) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(base, folder / "ours")
    missing = [str(w.message) for w in said if "missing" in str(w.message)]
    if missing:
        raise ValueError(f"{folder}: {missing}")
    np.savez(folder / "opened.npz", logits=logits(model, folder))


def make_theirs(base: torch.nn.Module, folder: Path, case: dict) -> None:
    config = getattr(peft, case["class"])(task_type=case["task"], **case["options"])
    model = peft.get_peft_model(base, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder / "theirs")
    # Opened anew: bias="all" trains relative positions of T5 that PEFT does not save.
    base = CLASSES[case["task"]].from_pretrained(case["base"])
    model = peft.PeftModel.from_pretrained(base, folder / "theirs")
    np.savez(folder / "made.npz", logits=logits(model, folder))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", type=Path, nargs="+")
    torch.manual_seed(0)
    for folder in parser.parse_args().folders:
        case = json.loads((folder / "case.json").read_text())
        load = CLASSES[case["task"]].from_pretrained
        open_ours(load(case["base"]), folder)
        make_theirs(load(case["base"]), folder, case)


if __name__ == "__main__":
    main()
