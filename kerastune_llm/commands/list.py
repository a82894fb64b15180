"""`kerastune list`: what there is to choose from."""

from collections.abc import Callable

from kerastune_llm.commands.console import console
from kerastune_llm.errors import unknown_name
from kerastune_llm.registry import METHODS, METRICS, OPTIMIZERS, TASKS, Registry
from kerastune_llm.tasks.task import get_task

KINDS: dict[str, Registry] = {
    "tasks": TASKS,
    "methods": METHODS,
    "metrics": METRICS,
    "optimizers": OPTIMIZERS,
}


def list_names(kind: str | None = None) -> None:
    """Print the names of one kind, or of all, with a line about each.

    Args:
        kind: `"tasks"`, `"methods"`, `"metrics"`, `"optimizers"`, or `None` for all.

    Raises:
        UserError: Another kind.
    """
    if kind is not None and kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    for shown in [kind] if kind else KINDS:
        registry = KINDS[shown]
        console.print(f"[bold]{shown}[/bold]")
        describe: Callable[[str], str] = _task_line if shown == "tasks" else _doc_line
        for name in registry.names():
            line = describe(name) if shown == "tasks" else describe(registry.get(name))
            console.print(f"  {name:22} {line}", markup=False)


def _task_line(name: str) -> str:
    task = get_task(name)
    source = f"hub {task.hub}" if task.hub else "your own files"
    return f"{task.kind}; {', '.join(task.metrics) or 'metrics as given'}; {source}"


def _doc_line(definition: object) -> str:
    return (definition.__doc__ or "").strip().partition("\n")[0]
