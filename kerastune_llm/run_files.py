"""Files of a run directory: lines of metrics.jsonl, and whose a config.json is."""

import json
from pathlib import Path


def until(text: str, step: int, *, evaluation: bool) -> str:
    """The lines up to an update; what comes after is left out, and broken lines are.

    >>> lines = '{"step": 1}\\n{"step": 2}\\n{"step": 2, "evaluation": {}}\\n{"ste'
    >>> until(lines, 2, evaluation=False)
    '{"step": 1}\\n{"step": 2}\\n'

    Args:
        text: All lines; a kill may have broken off the last one.
        step: The last update that stays.
        evaluation: Whether the evaluation after it stays, too.
    """
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if _stays(line, step, evaluation))


def is_of_a_model(config: Path) -> bool:
    """Whether a config.json is that of a Hugging Face model, which has no task."""
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(values, dict) and "model_type" in values and "task" not in values


def _stays(line: str, step: int, evaluation: bool) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    stays_at_step = evaluation or "evaluation" not in record
    return record["step"] < step or (record["step"] == step and stays_at_step)
