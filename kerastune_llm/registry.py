"""Registers of tasks, methods, metrics, optimizers and so on, filled by modules.

A definition registers itself on its own line (`@TASKS.register`), and the register
imports every module of its package the first time it is asked, so adding one touches
one file and there is no list to keep.
"""

import importlib
import importlib.util
import pkgutil
import sys
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from kerastune_llm.errors import UserError, unknown_name

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


def run_definitions(path: Path, registry: Registry) -> None:
    """Run a Python file whose functions register themselves, and call each of them.

    Args:
        path: The file; it is run with the user's own rights, like any program.
        registry: Where they register.

    Raises:
        UserError: The file is missing, raises, or registers nothing; or a definition
            raises when it is called, or gives something of another name.
    """
    if not path.is_file():
        raise UserError("The Python file does not exist.", received=str(path))
    before = {name: registry.get(name) for name in registry.names()}
    _attempt(path, lambda: _run(path))
    new = [n for n in registry.names() if before.get(n) is not registry.get(n)]
    if not new:
        raise UserError(
            f"The file registers no {registry.kind}.",
            received=str(path),
            mend=f"@{registry.kind.upper()}S.register above a function that returns it",
        )
    for name in new:
        made = _attempt(path, registry.get(name))
        if getattr(made, "name", None) != name:
            raise UserError(
                f"{path}: the function {name} must return a {registry.kind} "
                f"with name={name!r}.",
                received=repr(made)[:80],
            )


def _run(path: Path) -> None:
    # A name of its own for each file: definitions are told apart by their module.
    name = f"kerastune_file_{zlib.crc32(str(path.absolute()).encode())}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # Processes that tokenise look a task's functions up by their module.
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _attempt(path: Path, call: Callable[[], T]) -> T:
    """What the user's code gives, or where in the file it raised."""
    try:
        return call()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f.lineno for f in frames if Path(f.filename).name == path.name]
        line = error.lineno if isinstance(error, SyntaxError) else [1, *lines][-1]
        raise UserError(
            f"{path}, line {line}: {type(error).__name__}: {error}"
        ) from error


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
AUGMENTATIONS: Registry = Registry("augmentation", "kerastune_llm.data.augmentations")
VERBS: Registry = Registry("verb", "kerastune_llm.verbs")
EXPORTS: Registry = Registry("form of export", "kerastune_llm.commands.exports")
