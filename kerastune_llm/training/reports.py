"""What a person reads of a run: the model card and the plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CARD = """\
---
library_name: transformers
tags: [tensorflow, keras, kerastune]
base_model: {base_model}
metrics: [{metric_names}]
---
# {base_model}, tuned for {task}

| | |
|---|---|
| task | {task}{reference} |
| base model | {base_model} |
| method | {method} |
| trained weights | {trainable:,} of {total:,} ({percent:.2f} %) |
| training rows | {training_rows:,} |
| optimizer updates | {steps:,} |

## Results on the validation rows
{metrics}

## Settings
```json
{settings}
```

## Use
```
kerastune predict {run} --input rows.jsonl --output answers.jsonl
```
The folder `model/` is a Hugging Face directory in the PyTorch layout. In TensorFlow:
```python
from kerastune_llm import load_model, load_tokenizer
model, tokenizer = load_model("{run}/model"), load_tokenizer("{run}/model")
```
"""


def model_card(values: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """The text of a run's README.md.

    Args:
        values: What `CARD` names, besides the metrics.
        metrics: The final validation metrics by name; may be empty.
    """
    rows = [f"| {name} | {value:.4f} |" for name, value in metrics.items()]
    table = "\n".join(["| metric | value |", "|---|---|", *rows])
    shown = table if rows else "No validation rows were given."
    return CARD.format(metric_names=", ".join(metrics), metrics=shown, **values)


def plot_history(history: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw the loss curve and the validation metrics over the optimizer updates.

    Args:
        history: Lines of `metrics.jsonl`: training lines have `loss`, evaluation lines
            an `evaluation` mapping.
        folder: Where `loss.png` and `metrics.png` go.
    """
    # The object interface: pyplot would keep figures and pick a window system.
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    training = [line for line in history if "loss" in line]
    evaluations = [line for line in history if "evaluation" in line]
    paths = []
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        [x["step"] for x in training], [x["loss"] for x in training], label="training"
    )
    if evaluations:
        losses = [line["evaluation"]["loss"] for line in evaluations]
        axes.plot([x["step"] for x in evaluations], losses, "o-", label="validation")
    axes.set(xlabel="optimizer updates", ylabel="loss per label token")
    axes.legend()
    paths.append(folder / "loss.png")
    figure.savefig(paths[-1], dpi=120)
    names = [
        n for n in (evaluations[0]["evaluation"] if evaluations else {}) if n != "loss"
    ]
    if names:
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for name in names:
            values = [line["evaluation"][name] for line in evaluations]
            axes.plot([x["step"] for x in evaluations], values, "o-", label=name)
        axes.set(xlabel="optimizer updates", ylabel="validation metric")
        axes.legend()
        paths.append(folder / "metrics.png")
        figure.savefig(paths[-1], dpi=120)
    return paths
