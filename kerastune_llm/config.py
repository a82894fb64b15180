"""RunConfig: everything a run is told, frozen and typed.

A field's dotted path is its flag (`optim.batch_size` is `--optim.batch-size`) and its
place in a run's `config.json`, which is a valid `--config` for the next run. Only the
command files see it; below them there are keyword arguments.
"""

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from kerastune_llm.config_groups import (
    DataConfig,
    EvaluationConfig,
    Group,
    MethodConfig,
    MixtureConfig,
    OptimConfig,
    TaskConfig,
)
from kerastune_llm.config_runtime import RuntimeConfig
from kerastune_llm.config_values import Place, named
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.flag_names import unknown_flag
from kerastune_llm.recipes import PREFIX, read_recipe
from kerastune_llm.registry import TASKS, run_definitions


class RunConfig(Group):
    """One run. Build it with `RunConfig.parse`, which reports every problem at once."""

    task: Annotated[TaskConfig, BeforeValidator(named)]
    model: str = Field(
        "starter", description="hub id, folder, or a bundled one: starter, minilm"
    )
    from_scratch: bool = Field(
        False, description="random initial weights; needs no checkpoint"
    )
    adapter: Path | None = Field(
        None,
        description="folder of an adapter of --model, made here or by PEFT, to go on "
        "training from; its method is the run's",
    )
    method: Annotated[MethodConfig, BeforeValidator(named)] = MethodConfig()
    mixture: MixtureConfig = MixtureConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    task_file: Annotated[Path, AfterValidator(Path.absolute)] | None = Field(
        None, description="Python file that registers a task: @TASKS.register"
    )
    output: Place | None = Field(
        None,
        description="run directory, here or at gs://BUCKET/DIR or another address "
        "that fsspec knows (default: a new one under runs/)",
    )

    @classmethod
    def parse(
        cls, values: Mapping[str, Any], other_problems: tuple[Exception, ...] = ()
    ) -> "RunConfig":
        """A checked RunConfig from nested plain values.

        Raises:
            UserErrors: Everything wrong with `values`, after `other_problems`.
        """
        problems = list(other_problems)
        if values.get("task_file"):
            # Before the task's name is looked for.
            run_definitions(Path(values["task_file"]), TASKS)
        try:
            config = cls.model_validate(dict(values))
        except ValidationError as error:
            problems += _as_user_errors(error.errors())
        if problems:
            raise UserErrors(problems)
        return config

    def updated(self, changes: Mapping[str, Any]) -> "RunConfig":
        """A copy with the nested `changes` merged in, checked again."""
        return RunConfig.parse(merge(self.to_values(), changes))

    def given(self, *, exclude: set[str] | None = None) -> dict[str, Any]:
        """The nested plain values that were given, without defaults.

        >>> RunConfig.parse({"task": "cola"}).given()
        {'task': {'name': 'cola'}}
        """
        return self.model_dump(
            mode="json", exclude_unset=True, exclude_none=True, exclude=exclude
        )

    def to_values(self) -> dict[str, Any]:
        """Nested plain values, as `config.json` holds them."""
        return self.model_dump(mode="json", exclude_none=True)


def merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with `changes` laid over them.

    >>> merge({"optim": {"epochs": 3, "name": "adamw"}}, {"optim": {"epochs": 5}})
    {'optim': {'epochs': 5, 'name': 'adamw'}}
    """
    merged = dict(values)
    for name, change in changes.items():
        if name in ("task", "method"):
            change, merged[name] = named(change), named(merged.get(name, {}))
            if name == "method" and change.get("name", "") != merged[name].get("name"):
                merged[name] = {} if "name" in change else merged[name]
        present = merged.get(name)
        if isinstance(change, Mapping) and isinstance(present, Mapping):
            change = merge(present, change)
        merged[name] = change
    return merged


def read_config_file(path: Path) -> dict[str, Any]:
    """The nested values of a JSON or YAML file, or of `recipe:NAME`.

    Raises:
        UserError: The file is missing, unreadable or not a mapping; no such recipe.
    """
    if str(path).startswith(PREFIX):
        return read_recipe(str(path).removeprefix(PREFIX)).values
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"The configuration file cannot be read: {error}", received=str(path)
        ) from error
    if not isinstance(values, dict):
        raise UserError(
            "The configuration file must hold a mapping.", received=str(path)
        )
    return values


def flag(path: tuple[str | int, ...]) -> str:
    """The flag of a dotted path.

    >>> flag(("optim", "batch_size"))
    '--optim.batch-size'
    """
    return "--" + ".".join(str(part) for part in path).replace("_", "-")


def flag_of(group: str, field: str) -> str:
    """The flag of a group's field; a method's name is `--method`.

    >>> flag_of("method", "name"), flag_of("optim", "name")
    ('--method', '--optim.name')
    """
    return flag((group,) if (group, field) == ("method", "name") else (group, field))


def flags() -> dict[str, tuple[str, ...]]:
    """Every flag of RunConfig with its path."""
    found = {}
    for name, info in RunConfig.model_fields.items():
        group = group_of(info.annotation)
        for field in group.model_fields if group else ():
            found[flag_of(name, field)] = (name, field)
        if group is None:
            found[flag((name,))] = (name,)
    return found


def group_of(annotation: object) -> type[BaseModel] | None:
    """The group of fields an annotation stands for, `None` for a single value."""
    is_group = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_group else None


def _as_user_errors(details: Iterable[Mapping[str, Any]]) -> list[UserError]:
    """pydantic's errors, those of one value that may be of several kinds as one."""
    problems = []
    for field, group in groupby(details, lambda detail: _field(_names(detail))):
        found = list(group)
        # Of a value that may be of several kinds each has an error, below the field.
        if len(found) > 1 and all(_names(detail) != field for detail in found):
            said = [_message(detail).partition(",")[0] for detail in found]
            others = [f" or {x.removeprefix('should be ')}" for x in said[1:]]
            problem = f"{_shown(field)} {said[0]}{''.join(others)}."
            problems.append(UserError(problem, received=found[0]["input"]))
        else:
            problems += map(_as_user_error, found)
    return problems


def _names(detail: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(part for part in detail["loc"] if isinstance(part, str))


def _message(detail: Mapping[str, Any]) -> str:
    return detail["msg"].removeprefix("Value error, ").removeprefix("Input ")


def _as_user_error(detail: Mapping[str, Any]) -> UserError:
    """One of pydantic's errors in the words of the command line."""
    path = _names(detail)
    if detail["type"] == "extra_forbidden":
        return unknown_flag(
            flag(path), [each for each in flags() if each != "--task.name"]
        )
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return UserError(f"{_shown(path)}: {cause}")
    if detail["type"] == "missing":
        shown = _shown(path)
        mend = "`kerastune list tasks` names them" if shown == "TASK" else None
        return UserError(f"{shown} is required.", mend=mend)
    return UserError(f"{_shown(path)} {_message(detail)}.", received=detail["input"])


def _shown(path: tuple[str, ...]) -> str:
    if path in (("task",), ("task", "name")):
        return "TASK"
    names = {path: name for name, path in flags().items()}
    return names.get(_field(path), flag(_field(path)))


def _field(path: tuple[str, ...]) -> tuple[str, ...]:
    """The flag's path that a path begins with, else its first name."""
    known = flags().values()
    while len(path) > 1 and path not in known:
        path = path[:-1]
    return path
