"""Registers of tasks, methods, metrics, optimizers and so on, filled by modules.

A definition registers itself on its own line (`@TASKS.register`), and the register
imports every module of its package the first time it is asked, so adding one touches
one file and there is no list to keep.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Generic, TypeVar

from kerastune_llm.errors import unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to definitions of one kind.

    Args:
        kind: The word used in messages, such as `"task"`.
        package: The dotted package whose modules register definitions when imported.

    Example:
    >>> colours = Registry("colour", "kerastune_llm.registry")
    >>> @colours.register("red")
    ... def red(): return "#f00"
    >>> colours.get("red")()
    '#f00'
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, T] = {}
        self._discovered = False

    def register(self, name: str | T) -> Callable[[T], T] | T:
        """Register a definition, under `name` or, used bare, under its own name.

        Raises:
            ValueError: The name is taken by another definition.
        """
        if isinstance(name, str):
            return lambda definition: self._add(name, definition)
        return self._add(name.__name__, name)

    def get(self, name: str) -> T:
        """The definition called `name`; if none, a `UserError` with the nearest."""
        self._discover()
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        self._discover()
        return tuple(sorted(self._entries))

    def _add(self, name: str, definition: T) -> T:
        present = self._entries.get(name)
        if present is not None and not _same_definition(present, definition):
            raise ValueError(f"The {self.kind} {name!r} is registered already.")
        self._entries[name] = definition
        return definition

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
            if not module.ispkg:
                importlib.import_module(f"{self.package}.{module.name}")


def _same_definition(one: object, other: object) -> bool:
    """A module imported twice (a notebook's reload) registers the same definition."""
    return (getattr(one, "__module__", 1), getattr(one, "__qualname__", 1)) == (
        getattr(other, "__module__", 2),
        getattr(other, "__qualname__", 2),
    )


TASKS: Registry = Registry("task", "kerastune_llm.tasks")
METHODS: Registry = Registry("method", "kerastune_llm.methods")
METRICS: Registry = Registry("metric", "kerastune_llm.metrics")
OPTIMIZERS: Registry = Registry("optimizer", "kerastune_llm.training.update_rules")
VERBS: Registry = Registry("verb", "kerastune_llm.verbs")
EXPORTS: Registry = Registry("form of export", "kerastune_llm.commands.exports")
