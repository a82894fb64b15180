"""Open folders with PyTorch and transformers 5 and write the logits.

    python check_directories.py FOLDER...

Each folder has a model and `inputs.npz`; `opened.npz` gets the logits of the model on
these inputs, and what it generates greedily where it does; `opened.json` the keys that
did not agree.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import transformers

CLASSES = {
    "seq2seq": transformers.AutoModelForSeq2SeqLM,
    "classification": transformers.AutoModelForSequenceClassification,
}


def generate(model: torch.nn.Module, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The ids of a greedy answer of at most 8 tokens, the start token first."""
    return model.generate(
        input_ids=torch.tensor(inputs["input_ids"]),
        attention_mask=torch.tensor(inputs["attention_mask"]),
        max_new_tokens=8,
        num_beams=1,
        do_sample=False,
    ).numpy()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", type=Path, nargs="+")
    for folder in parser.parse_args().folders:
        kind = folder.name.partition("-")[0]
        model, info = CLASSES[kind].from_pretrained(folder, output_loading_info=True)
        inputs = np.load(folder / "inputs.npz")
        with torch.no_grad():
            outputs = model.eval()(
                **{name: torch.tensor(inputs[name]) for name in inputs.files}
            )
        opened = {"logits": outputs.logits.numpy()}
        if kind == "seq2seq":
            opened["generated"] = generate(model, inputs)
        np.savez(folder / "opened.npz", **opened)
        keys = {name: sorted(map(str, value)) for name, value in info.items()}
        (folder / "opened.json").write_text(json.dumps(keys))


if __name__ == "__main__":
    main()
