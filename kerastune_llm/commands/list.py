"""`kerastune list`: what there is to choose from."""

from collections.abc import Callable

from kerastune_llm.commands.console import console
from kerastune_llm.errors import unknown_name
from kerastune_llm.recipes import read_recipe, recipe_names
from kerastune_llm.registry import (
    AUGMENTATIONS,
    METHODS,
    METRICS,
    OPTIMIZERS,
    TASKS,
    Registry,
)
from kerastune_llm.tasks.task import get_task

Names = Callable[[], tuple[str, ...]]
Describe = Callable[[str], str]


def list_names(kind: str | None = None) -> None:
    """Print the names of one kind, or of all, with a line about each.

    Args:
        kind: `"tasks"`, `"methods"`, `"metrics"`, `"optimizers"`, `"augmentations"`,
            `"recipes"`, or `None` for all.

    Raises:
        UserError: Another kind.
    """
    if kind is not None and kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    for shown in [kind] if kind else KINDS:
        names, describe = KINDS[shown]
        console.print(f"[bold]{shown}[/bold]")
        width = max(map(len, names()))
        for name in names():
            console.print(f"  {name:{width}}  {describe(name)}", markup=False)


def _task_line(name: str) -> str:
    task = get_task(name)
    source = f"hub {task.hub}" if task.hub else "your own files"
    return f"{task.kind}; {', '.join(task.metrics) or 'metrics as given'}; {source}"


def _augmentation_line(name: str) -> str:
    return AUGMENTATIONS.get(name).summary


def _recipe_line(name: str) -> str:
    recipe = read_recipe(name)
    return (
        f"{recipe.summary}\n    source: {recipe.source}\n    expect: {recipe.expected}"
    )


def _registered(registry: Registry) -> tuple[Names, Describe]:
    def doc_line(name: str) -> str:
        return (registry.get(name).__doc__ or "").strip().partition("\n")[0]

    return registry.names, doc_line


KINDS: dict[str, tuple[Names, Describe]] = {
    "tasks": (TASKS.names, _task_line),
    "methods": _registered(METHODS),
    "metrics": _registered(METRICS),
    "optimizers": _registered(OPTIMIZERS),
    "augmentations": (AUGMENTATIONS.names, _augmentation_line),
    "recipes": (recipe_names, _recipe_line),
}
