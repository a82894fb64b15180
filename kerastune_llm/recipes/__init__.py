"""Recipes: configurations with their sources, `--config recipe:NAME`.

A recipe is a YAML file beside this one: RunConfig's nested values, and under `about`
its summary, its source and the score to expect.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kerastune_llm.errors import unknown_name

FOLDER = Path(__file__).parent
PREFIX = "recipe:"


@dataclass(frozen=True)
class Recipe:
    """A configuration that somebody has published results of.

    Args:
        summary: What is trained, in one line.
        source: Where the settings come from.
        expected: The published score, or that there is none.
        values: Nested values of RunConfig.
    """

    summary: str
    source: str
    expected: str
    values: dict[str, Any]


def recipe_names() -> tuple[str, ...]:
    """The names of all recipes, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def read_recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        UserError: There is none; the nearest names are given.

    Example:
    >>> read_recipe("cola-distilbert").values["optim"]["batch_size"]
    16
    """
    if name not in recipe_names():
        raise unknown_name("recipe", name, recipe_names())
    values = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return Recipe(**values.pop("about"), values=values)
