"""The parser: every field of RunConfig and of the methods becomes a flag."""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from kerastune_llm import __version__
from kerastune_llm.config import RunConfig, flag, flag_of, flags, group_of
from kerastune_llm.errors import UserError, unknown_name
from kerastune_llm.methods.method import method_fields
from kerastune_llm.registry import METHODS


def make_parser(chosen: str | None) -> tuple[argparse.ArgumentParser, tuple[str, ...]]:
    """The parser with the flags of the chosen verb, and those flags."""
    parser = _Parser(
        prog="kerastune",
        description="Fine-tune Hugging Face T5 and BERT models in TensorFlow.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB")
    known: tuple[str, ...] = ()
    for name, (summary, usage, example, add_flags) in VERBS.items():
        verb = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            usage=f"kerastune {name} {usage}",
            epilog=f"example: {example}",
            allow_abbrev=False,
        )
        if name == chosen:
            add_flags(verb)
            known = tuple(verb._option_string_actions)
    return parser, known


class _Parser(argparse.ArgumentParser):
    """argparse with its errors raised as ours, so that all end in exit code 2."""

    def error(self, message: str) -> None:
        raise UserError(f"{message[0].upper()}{message[1:]}.", mend=f"{self.prog} -h")

    def _check_value(self, action: argparse.Action, value: str) -> None:
        if action.choices is not None and value not in action.choices:
            kind = "verb" if action.dest == "verb" else action.dest
            raise unknown_name(kind, value, action.choices)


def _add_config_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "task",
        nargs="?",
        metavar="TASK",
        default=argparse.SUPPRESS,
        help="task; `kerastune list tasks` names them",
    )
    parser.add_argument(
        "--config", type=Path, help="JSON or YAML file; a run's config.json is one"
    )
    for name, info in RunConfig.model_fields.items():
        if group_of(info.annotation) is None:
            _add_field(parser, (name,), info)
    _add_fields(parser, "task", without=("name",))
    methods = _add_fields(parser, "method", only=("name",))
    for name, text in _method_options().items():
        methods.add_argument(
            flag(("method", name)),
            dest=f"method.{name}",
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=text.replace("%", "%%"),
        )
    for group in ("data", "optim", "runtime", "evaluation"):
        _add_fields(parser, group)


def _add_evaluate_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument("--output", type=Path, help="folder for metrics, predictions")
    _add_fields(parser, "data", only=("source", "validation", "max_validation_samples"))
    _add_fields(parser, "evaluation", only=("batch_size", "num_beams"))


def _add_predict_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument("--input", type=Path, required=True, help="rows to answer")
    parser.add_argument("--output", type=Path, required=True, help="jsonl to write")


def _add_list_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", metavar="KIND", help="default: all kinds")


def _method_options() -> dict[str, str]:
    texts: dict[str, str] = {}
    for method in METHODS.names():
        for field in method_fields(method):
            required = field.default is dataclasses.MISSING
            default = "required" if required else f"default: {field.default}"
            text = f"{method}: {field.help} ({default})"
            texts[field.name] = "; ".join(filter(None, (texts.get(field.name), text)))
    return texts


def _add_fields(
    parser: argparse.ArgumentParser,
    group_name: str,
    only: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> Any:
    group_type = group_of(RunConfig.model_fields[group_name].annotation)
    group = parser.add_argument_group(group_name)
    for name, info in group_type.model_fields.items():
        if name not in without and (not only or name in only):
            _add_field(group, (group_name, name), info)
    return group


def _add_field(parser: Any, path: tuple[str, ...], info: FieldInfo) -> None:
    text = (info.description or "").replace("%", "%%")
    if info.default not in (None, False) and not info.is_required():
        text += f" (default: {info.default})"
    options: dict[str, Any] = {
        "dest": ".".join(path),
        "default": argparse.SUPPRESS,
        "help": text,
    }
    if info.annotation is bool:
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


VERBS: dict[str, tuple[str, str, str, Callable[[argparse.ArgumentParser], None]]] = {
    "train": (
        "fine-tune a model on a task",
        "TASK [flags]",
        "kerastune train squad --model google/flan-t5-small --method head "
        "--optim.epochs 3",
        _add_config_flags,
    ),
    "evaluate": (
        "score a run on its validation rows",
        "RUN [flags]",
        "kerastune evaluate runs/squad --evaluation.num-beams 4",
        _add_evaluate_flags,
    ),
    "predict": (
        "answer the rows of a file",
        "RUN --input FILE --output FILE",
        "kerastune predict runs/squad --input questions.jsonl --output answers.jsonl",
        _add_predict_flags,
    ),
    "list": (
        "name the tasks, methods, metrics and optimizers",
        "[KIND]",
        "kerastune list tasks",
        _add_list_flags,
    ),
    "doctor": (
        "check this installation, and a configuration",
        "[TASK] [flags]",
        "kerastune doctor cola --model minilm",
        _add_config_flags,
    ),
}
