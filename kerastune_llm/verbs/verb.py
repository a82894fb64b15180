"""What a verb of the command line is."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kerastune_llm.config import RunConfig, merge, read_config_file
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.methods.method import make_method
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.config_flags import nested_values


@dataclass(frozen=True)
class Verb:
    """A verb; its module registers it, and that is all that adding one takes.

    Args:
        summary: One line for `kerastune --help`.
        usage: What follows the verb's name.
        example: A whole command line.
        add_flags: Adds the verb's flags to its parser.
        run: Does the work and returns the exit code. It is given the parsed options,
            and where `config` is not `"none"` the checked RunConfig as well.
        config: Whether the flags describe a run: `"optional"` gives `None` where
            there are none.
        default_task: The task where none is named, for a verb that reads no rows.
    """

    summary: str
    usage: str
    example: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[..., int]
    config: Literal["none", "optional", "required"] = "none"
    default_task: str | None = None


def run_verb(options: argparse.Namespace, problems: list[UserError]) -> int:
    """Run the verb that was parsed.

    Args:
        options: What argparse made of argv, with the verb's name as `verb`.
        problems: What it could not make sense of; reported with the other problems.

    Raises:
        UserError: Something is wrong with the input.
    """
    verb = VERBS.get(options.verb)
    if verb.config == "none":
        if problems:
            raise UserErrors(problems)
        return verb.run(options)
    return verb.run(options, _config(verb, options, problems))


def _config(
    verb: Verb, options: argparse.Namespace, problems: list[UserError]
) -> RunConfig | None:
    values = nested_values(vars(options))
    if options.config is not None:
        values = merge(read_config_file(options.config), values)
    if not values and verb.config == "optional":
        if problems:
            raise UserErrors(problems)
        return None
    if verb.default_task is not None:
        values = merge({"task": verb.default_task}, values)
    try:
        config = RunConfig.parse(values, tuple(problems))
    except UserError as error:
        raise _with_method_problem(error, values) from None
    make_method(config.method.name, config.method.options)
    return config


def _with_method_problem(error: UserError, values: Mapping[str, Any]) -> UserError:
    """`error` with the method's own problem added, so both are reported at once."""
    options = dict(values.get("method", {}))
    try:
        make_method(options.pop("name", "full"), options)
    except UserError as method_error:
        problems = getattr(error, "problems", (str(error),))
        if "--method" not in " ".join(problems):
            return UserErrors([*problems, method_error])
    return error
