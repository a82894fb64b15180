"""A model card in the Hugging Face form: of a run, an export, or what is pushed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import ModelCard

from kerastune_llm.commands.card_data import base_on_hub, card_data, rows_of
from kerastune_llm.commands.in_pytorch import is_pefts, opening_lines
from kerastune_llm.commands.job import Job
from kerastune_llm.commands.validation_rows import is_held_out
from kerastune_llm.config import read_config_file
from kerastune_llm.models.sources import model_name
from kerastune_llm.rundir import RunDir
from kerastune_llm.training.reports import markdown_table

CARD = """\
---
{front}
---

# {name}

{base}, fine-tuned for {task}{reference} with the method `{method}` by kerastune_llm, in
TensorFlow and Keras.

## Trained on

{facts}

{texts}

## Results

{results}

## Settings

```json
{settings}
```

## Use

{use}
## Limits

{limits}
"""
IN_TENSORFLOW = """\
In TensorFlow:

```python
{lines}```
"""
IN_PYTORCH = """
In PyTorch, with {libraries}{before}:

```python
{lines}```
"""
IN_SHELL = """
From the command line:

```
kerastune predict {run} --input rows.jsonl --output answers.jsonl
```
"""
NOT_IN_PYTORCH = """
PEFT has no form for `{method}`: kerastune_llm alone opens the adapter.
"""
LIMITS = """\
- Only what is under Results was measured, on rows like those it was trained on.
- Inputs are cut at {input_tokens} tokens{answers}.
- What the base model gets wrong, or repeats from its own training, was not examined."""
BEST = """
- The validation rows also picked the weights that were kept, so that other rows of the
  same kind may score lower."""
TOY = """
- The base model is the bundled starter, which knows a generated world alone."""


@dataclass(frozen=True)
class Place:
    """What a card is of, and by which name it is opened.

    Args:
        name: The model's name, the card's title.
        path: Folder or repository with the weights.
        form: The whole model, or an adapter for its base.
        run: The run directory, where the card is the run's own.
        is_repository: Whether the path is a repository of the hub.
    """

    name: str
    path: str
    form: Literal["whole", "adapter"]
    run: Path | str | None = None
    is_repository: bool = False


def place_of_run(run: RunDir) -> Place:
    """A run directory with the model in it."""
    form = "adapter" if run.adapter.is_dir() else "whole"
    trained = f"{run.place}/{run.trained.name}"
    return Place(run.path.absolute().name, trained, form, run.place)


def saved_card(run: RunDir, job: Job, place: Place) -> str:
    """The card of what was made of a run, with what the run's own files say.

    Facts and metrics of a run that was cut off are not known and left out.
    """
    metrics = read_config_file(run.metrics) if run.metrics.exists() else {}
    environment = run.environment
    known = read_config_file(environment) if environment.exists() else {}
    return model_card(job, place, metrics, known.get("trained", {}))


def model_card(
    job: Job, place: Place, metrics: Mapping[str, float], facts: Mapping[str, Any]
) -> str:
    """The text of a README.md: front matter for the hub, and a page for people.

    Args:
        job: What was run.
        place: What the card is of.
        metrics: The final validation metrics by name; may be empty.
        facts: Parameter counts, rows, steps; may be empty.
    """
    config = job.config
    data = card_data(job, metrics, name=place.name, is_adapter=place.form == "adapter")
    text = CARD.format(
        front=data.to_yaml(),
        name=place.name,
        base=_base(job),
        task=job.task.name,
        reference=f" ({job.task.reference})" if job.task.reference else "",
        method=config.method.name,
        facts=_facts(job, facts),
        texts=_texts(job),
        results=_results(job, metrics, facts.get("validation_rows")),
        settings=json.dumps(_settings(job), indent=2, ensure_ascii=False),
        use=_use(job, place),
        limits=_limits(job, metrics),
    )
    # Parsed as the hub does, so that what it would refuse is seen here.
    return str(ModelCard(text))


def _base(job: Job) -> str:
    hub_id = base_on_hub(job)
    if hub_id:
        return f"[{hub_id}](https://huggingface.co/{hub_id})"
    name = Path(job.config.model).name
    return f"{name} from random weights" if job.config.from_scratch else name


def _facts(job: Job, facts: Mapping[str, Any]) -> str:
    """What is known of a run; one that was cut off has no facts."""
    source = rows_of(job, "train")[1]
    if not facts:
        return f"Rows of {source}."
    rows = [
        ("training rows", f"{facts['training_rows']:,}, {source}"),
        (
            "weights trained",
            f"{facts['trainable']:,} of {facts['total']:,} ({facts['percent']:.2f} %)",
        ),
        ("optimizer updates", f"{facts['steps']:,}"),
    ]
    if "seconds" in facts:
        rows.append(("time", f"{facts['seconds']:,.0f} s, evaluations included"))
    return markdown_table(["", ""], rows)


def _texts(job: Job) -> str:
    """What the model is given and what it answers."""
    template = job.task.template(as_text=job.as_text)
    if job.task.members:
        return f"A mixture of {', '.join(job.task.members)}, each in its own wording."
    pair = "" if job.as_text else job.task.pair_template
    second = f" and, as the second of a pair, `{pair}`" if pair else ""
    labels = f"\n\nLabels: {', '.join(job.task.labels)}." if job.task.labels else ""
    return f"The model reads `{template}`{second}.{labels}"


def _results(job: Job, metrics: Mapping[str, float], rows: int | None) -> str:
    if not metrics:
        return "No validation rows were given."
    table = [(name, f"{value:.4f}") for name, value in metrics.items()]
    source = rows_of(job, "validation")[1]
    if is_held_out(job.config) and not job.task.members:
        source = f"held out of {source}"
    counted = f"{rows:,} validation rows" if rows else "The validation rows"
    return f"{counted} ({source}).\n\n" + markdown_table(["metric", "value"], table)


def _settings(job: Job) -> dict[str, Any]:
    """The configuration without places on the disk, which mean nothing elsewhere."""
    values = job.config.to_values()
    left_out = ["output"] + ["mixture"] * (not job.task.members)
    for name in left_out:
        values.pop(name, None)
    return _without_folders(values)


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_folders(part) for name, part in value.items()}
    is_place = isinstance(value, str) and value.startswith(("/", "~", "./", "../"))
    return Path(value).name if is_place else value


def _use(job: Job, place: Place) -> str:
    parts = [IN_TENSORFLOW.format(lines=_tensorflow_lines(job, place))]
    if place.form == "whole":
        parts.append(_whole_in_pytorch(job, place))
    elif is_pefts(job):
        base = base_on_hub(job) or model_name(job.config.model)
        parts.append(
            IN_PYTORCH.format(
                libraries="PEFT and transformers 5",
                before="",
                lines=opening_lines(job, place.path, base=base),
            )
        )
    else:
        parts.append(NOT_IN_PYTORCH.format(method=job.config.method.name))
    if place.run is not None:
        command = (
            f"kerastune predict {place.run} --input rows.jsonl --output answers.jsonl"
        )
        parts.append(f"\nFrom the command line:\n\n```\n{command}\n```\n")
    return "".join(parts)


def _whole_in_pytorch(job: Job, place: Place) -> str:
    folder, before = place.path, ""
    if place.run is not None:
        folder = "exported"
        command = f"kerastune export {place.run} --to transformers {folder}"
        before = f" after `{command}`"
    lines = opening_lines(job, folder)
    return IN_PYTORCH.format(libraries="transformers 5", before=before, lines=lines)


def _tensorflow_lines(job: Job, place: Place) -> str:
    if place.form == "whole":
        return (
            "from kerastune_llm import load_model, load_tokenizer\n"
            f'model, tokenizer = load_model("{place.path}"), '
            f'load_tokenizer("{place.path}")\n'
        )
    labels = f", labels={list(job.task.labels)}" if job.task.labels else ""
    kind = "" if job.as_text else f', kind="{job.task.kind}"{labels}'
    fetch, folder = "", f'"{place.path}"'
    if place.is_repository:
        fetch = "from huggingface_hub import snapshot_download\n"
        folder = f"snapshot_download({folder})"
    return (
        f"{fetch}from kerastune_llm import load_adapter, load_model\n"
        f'model = load_model("{job.config.model}"{kind})\n'
        f"load_adapter(model, {folder})\n"
    )


def _limits(job: Job, metrics: Mapping[str, float]) -> str:
    longest = job.config.evaluation.max_new_tokens or job.max_target_tokens
    answers = f", answers at {longest}" if job.as_text else ""
    text = LIMITS.format(input_tokens=job.max_input_tokens, answers=answers)
    if metrics:
        text += BEST
    return text + (TOY if job.config.model == "starter" else "")
