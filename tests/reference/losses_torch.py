"""Train with PyTorch as the Hugging Face Trainer does and write the losses.

    python losses_torch.py FOLDER

The folder has `model/` (a checkpoint), `batches.npz` (`<step>.<input>` arrays, -100
for no label) and `settings.json` (`kind`, `learning_rate`, `warmup_steps`,
`weight_decay`, `clip_norm`). `losses.json` gets, for every step, `loss`,
`gradient_norm` and `learning_rate`, and the names in `decayed`.
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
    "regression": transformers.AutoModelForSequenceClassification,
    "multilabel": transformers.AutoModelForSequenceClassification,
}


def read_batches(file: Path) -> list[dict[str, torch.Tensor]]:
    arrays = np.load(file)
    batches: dict[int, dict[str, torch.Tensor]] = {}
    for key in arrays.files:
        step, _, name = key.partition(".")
        array = arrays[key]
        is_float = array.dtype.kind == "f"
        tensor = torch.tensor(array if is_float else array.astype(np.int64))
        batches.setdefault(int(step), {})[name] = tensor
    return [batches[step] for step in sorted(batches)]


def decay_groups(model: torch.nn.Module, weight_decay: float) -> tuple[list, list]:
    """The Trainer's two groups of parameters, and the names that decay."""
    # The Trainer's method uses nothing of its instance.
    decayed = transformers.Trainer.get_decay_parameter_names(None, model)
    parameters = dict(model.named_parameters())
    groups = [
        {
            "params": [p for n, p in parameters.items() if n in decayed],
            "weight_decay": weight_decay,
        },
        {
            "params": [p for n, p in parameters.items() if n not in decayed],
            "weight_decay": 0.0,
        },
    ]
    return groups, sorted(n for n in parameters if n in decayed)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    settings = json.loads((folder / "settings.json").read_text())
    batches = read_batches(folder / "batches.npz")
    model = CLASSES[settings["kind"]].from_pretrained(
        folder / "model", dtype=torch.float32
    )
    model.train()
    groups, decayed = decay_groups(model, settings["weight_decay"])
    optimizer = torch.optim.AdamW(groups, lr=settings["learning_rate"])
    schedule = transformers.get_linear_schedule_with_warmup(
        optimizer, settings["warmup_steps"], len(batches)
    )
    steps = []
    for batch in batches:
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_norm"])
        steps.append(
            {
                "loss": loss.item(),
                "gradient_norm": norm.item(),
                "learning_rate": schedule.get_last_lr()[0],
            }
        )
        optimizer.step()
        schedule.step()
    result = {"steps": steps, "decayed": decayed}
    (folder / "losses.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
