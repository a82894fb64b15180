"""Flags out of RunConfig: every field of it and of the methods becomes one."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from kerastune_llm.config import RunConfig, flag, flag_of, flags, group_of
from kerastune_llm.methods.method import method_fields
from kerastune_llm.registry import METHODS


def add_config_flags(
    parser: argparse.ArgumentParser, *, without: tuple[str, ...] = ()
) -> None:
    """Add TASK, `--config` and a flag for every field of RunConfig.

    Args:
        parser: Of the verb.
        without: Names of fields and groups to leave out: `"task"` for no TASK,
            `"method"` for no method and its options, `"optim"`, `"output"`.
    """
    if "task" not in without:
        parser.add_argument(
            "task",
            nargs="?",
            metavar="TASK",
            default=argparse.SUPPRESS,
            help="task; `kerastune list tasks` names them",
        )
    parser.add_argument(
        "--config",
        type=Path,
        help="JSON or YAML file, such as a run's config.json, or recipe:NAME",
    )
    for name, info in RunConfig.model_fields.items():
        if group_of(info.annotation) is None and name not in without:
            _add_field(parser, (name,), info)
    add_fields(parser, "task", without=("name",))
    if "method" not in without:
        _add_method_flags(parser)
    for group in ("mixture", "data", "optim", "runtime", "evaluation"):
        if group not in without:
            add_fields(parser, group)


def _add_method_flags(parser: argparse.ArgumentParser) -> None:
    methods = add_fields(parser, "method", only=("name",))
    for name, text in _method_options().items():
        methods.add_argument(
            flag(("method", name)),
            dest=f"method.{name}",
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=text.replace("%", "%%"),
        )


def _method_options() -> dict[str, str]:
    texts: dict[str, str] = {}
    for method in METHODS.names():
        for field in method_fields(method):
            required = field.default is dataclasses.MISSING
            default = "required" if required else f"default: {field.default}"
            text = f"{method}: {field.help} ({default})"
            texts[field.name] = "; ".join(filter(None, (texts.get(field.name), text)))
    return texts


def add_fields(
    parser: argparse.ArgumentParser,
    group_name: str,
    only: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> Any:
    """Add the flags of one group of RunConfig, or of some of its fields.

    Args:
        parser: Of the verb.
        group_name: Such as `"optim"`.
        only: Fields to add; default: all.
        without: Fields to leave out.

    Returns:
        argparse's group, for further flags of its kind.
    """
    group_type = group_of(RunConfig.model_fields[group_name].annotation)
    group = parser.add_argument_group(group_name)
    for name, info in group_type.model_fields.items():
        if name not in without and (not only or name in only):
            _add_field(group, (group_name, name), info)
    return group


def _add_field(parser: Any, path: tuple[str, ...], info: FieldInfo) -> None:
    text = (info.description or "").replace("%", "%%")
    if info.default not in (None, False, (), {}) and not info.is_required():
        text += f" (default: {info.default})"
    options: dict[str, Any] = {
        "dest": ".".join(path),
        "default": argparse.SUPPRESS,
        "help": text,
    }
    if info.annotation in (bool, bool | None):
        options["action"] = argparse.BooleanOptionalAction
    else:
        options["metavar"] = _metavar(info)
    name = flag_of(*path) if len(path) > 1 else flag(path)
    parser.add_argument(name, **options)


def _metavar(info: FieldInfo) -> str:
    if get_origin(info.annotation) is Literal:
        return "|".join(get_args(info.annotation))
    return "VALUE"


def nested_values(options: dict[str, Any]) -> dict[str, Any]:
    """Nested values out of flags' dotted names: the RunConfig part of argv."""
    paths = {".".join(path): path for path in flags().values()}
    values: dict[str, Any] = {}
    for dest, value in options.items():
        path = paths.get(dest) or tuple(dest.split("."))
        if dest == "task":
            path = ("task", "name")
        elif value is None or (dest not in paths and path[0] != "method"):
            continue
        place = values
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    return values
