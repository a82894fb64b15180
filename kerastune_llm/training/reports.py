"""What a person reads of a run: the model card and the plots."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas
from matplotlib.figure import Figure

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
{use}"""

USE_MODEL = """\
The folder `model/` is a Hugging Face directory in the PyTorch layout. In TensorFlow:
```python
from kerastune_llm import load_model, load_tokenizer
model, tokenizer = load_model("{run}/model"), load_tokenizer("{run}/model")
```
"""
USE_ADAPTER = """\
The folder `adapter/` holds what was trained, to be put onto the base model, in the
form that `adapter_config.json` names as `peft_type`. In TensorFlow:
```python
from kerastune_llm import load_adapter, load_model
model = load_model("{base_model}")
load_adapter(model, "{run}/adapter")
```
"""


def model_card(values: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """The text of a run's README.md.

    Args:
        values: What `CARD` names, besides the metrics.
        metrics: The final validation metrics by name; may be empty.
    """
    rows = [(name, f"{value:.4f}") for name, value in metrics.items()]
    table = markdown_table(["metric", "value"], rows)
    shown = table if rows else "No validation rows were given."
    filled = {**values, "use": values["use"].format(**values)}
    return CARD.format(metric_names=", ".join(metrics), metrics=shown, **filled)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in markdown.

    >>> print(markdown_table(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, *rows)]
    return "\n".join([lines[0], "|---" * len(columns) + "|", *lines[1:]])


def plot_history(history: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw the loss curve and the validation metrics over the optimizer updates.

    Args:
        history: Lines of `metrics.jsonl`: training lines have `loss`, evaluation lines
            an `evaluation` mapping.
        folder: Where `loss.png` and, with evaluations, `metrics.png` go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    evaluations = [line for line in history if "evaluation" in line]
    steps = [line["step"] for line in evaluations]
    scores = pandas.DataFrame([x["evaluation"] for x in evaluations], index=steps)
    training = [line for line in history if "loss" in line]
    losses = pandas.Series(
        [line["loss"] for line in training], index=[line["step"] for line in training]
    )
    smooth = losses.ewm(span=max(2, len(losses) // 25)).mean()
    curves = {"training, each update": losses, "training, smoothed": smooth}
    if evaluations:
        curves["validation"] = scores.pop("loss")
    paths = [_draw(folder / "loss.png", "loss per label", curves)]
    if len(scores.columns):
        columns = {name: scores[name] for name in scores}
        paths.append(_draw(folder / "metrics.png", "validation metric", columns))
    return paths


def _draw(path: Path, label: str, curves: Mapping[str, pandas.Series]) -> Path:
    # The object interface: pyplot would keep figures and pick a window system.
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        is_raw, is_dense = name.endswith("each update"), name.startswith("training")
        axes.plot(
            curve.index,
            curve.to_numpy(),
            "-" if is_dense else "o-",
            alpha=0.25 if is_raw else 1.0,
            label=name,
        )
    axes.set(xlabel="optimizer updates", ylabel=label)
    axes.legend()
    figure.savefig(path, dpi=120)
    return path
