"""The parser of the command line: one subparser for each verb."""

import argparse
import textwrap

from kerastune_llm import __version__
from kerastune_llm.errors import UserError, unknown_name
from kerastune_llm.registry import VERBS

Parsers = tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]


def make_parser(chosen: str | None) -> tuple[argparse.ArgumentParser, tuple[str, ...]]:
    """The parser with the flags of the chosen verb, and those flags."""
    parser, subparsers = _parsers()
    if chosen not in subparsers:
        return parser, ()
    VERBS.get(chosen).add_flags(subparsers[chosen])
    return parser, tuple(subparsers[chosen]._option_string_actions)


def whole_parser() -> tuple[
    argparse.ArgumentParser, dict[str, argparse.ArgumentParser]
]:
    """The parser with the flags of all verbs, and the parser of each verb."""
    parser, subparsers = _parsers()
    for name, subparser in subparsers.items():
        VERBS.get(name).add_flags(subparser)
    return parser, subparsers


def _parsers() -> Parsers:
    """The parser and that of each verb, as yet without its flags."""
    parser = _Parser(
        prog="kerastune",
        description="Fine-tune Hugging Face T5 and BERT models in TensorFlow.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB")
    for name in VERBS.names():
        verb = VERBS.get(name)
        subparsers.add_parser(
            name,
            help=verb.summary,
            description=f"{verb.summary[0].upper()}{verb.summary[1:]}.",
            usage=f"kerastune {name} {verb.usage}",
            epilog=f"example:\n  {in_lines(verb.example)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
    return parser, dict(subparsers.choices)


def in_lines(command: str) -> str:
    r"""A command broken into lines that a shell takes as one, for people to copy.

    >>> print(in_lines("kerastune train squad " + "--data.train train.json " * 4))
    kerastune train squad --data.train train.json --data.train train.json \
        --data.train train.json --data.train train.json
    """
    lines = textwrap.wrap(
        command, width=74, break_long_words=False, break_on_hyphens=False
    )
    return " \\\n    ".join(lines)


class _Parser(argparse.ArgumentParser):
    """argparse with its errors raised as ours, so that all end in exit code 2."""

    def error(self, message: str) -> None:
        raise UserError(f"{message[0].upper()}{message[1:]}.", mend=f"{self.prog} -h")

    def _check_value(self, action: argparse.Action, value: str) -> None:
        if action.choices is not None and value not in action.choices:
            kind = "verb" if action.dest == "verb" else action.dest
            raise unknown_name(kind, value, action.choices)
