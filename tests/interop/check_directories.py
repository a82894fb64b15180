"""Open folders with PyTorch and transformers 5 and write the logits.

    python check_directories.py FOLDER...

Each folder has a model and `inputs.npz`; `opened.npz` gets the logits of the model on
these inputs and `opened.json` the keys that did not agree.
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
        np.savez(folder / "opened.npz", logits=outputs.logits.numpy())
        keys = {name: sorted(map(str, value)) for name, value in info.items()}
        (folder / "opened.json").write_text(json.dumps(keys))


if __name__ == "__main__":
    main()
