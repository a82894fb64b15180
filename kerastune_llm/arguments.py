"""The parser of the command line: one subparser for each verb."""

import argparse

from kerastune_llm import __version__
from kerastune_llm.errors import UserError, unknown_name
from kerastune_llm.registry import VERBS


def make_parser(chosen: str | None) -> tuple[argparse.ArgumentParser, tuple[str, ...]]:
    """The parser with the flags of the chosen verb, and those flags."""
    parser = _Parser(
        prog="kerastune",
        description="Fine-tune Hugging Face T5 and BERT models in TensorFlow.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB")
    known: tuple[str, ...] = ()
    for name in VERBS.names():
        verb = VERBS.get(name)
        subparser = subparsers.add_parser(
            name,
            help=verb.summary,
            description=f"{verb.summary[0].upper()}{verb.summary[1:]}.",
            usage=f"kerastune {name} {verb.usage}",
            epilog=f"example: {verb.example}",
            allow_abbrev=False,
        )
        if name == chosen:
            verb.add_flags(subparser)
            known = tuple(subparser._option_string_actions)
    return parser, known


class _Parser(argparse.ArgumentParser):
    """argparse with its errors raised as ours, so that all end in exit code 2."""

    def error(self, message: str) -> None:
        raise UserError(f"{message[0].upper()}{message[1:]}.", mend=f"{self.prog} -h")

    def _check_value(self, action: argparse.Action, value: str) -> None:
        if action.choices is not None and value not in action.choices:
            kind = "verb" if action.dest == "verb" else action.dest
            raise unknown_name(kind, value, action.choices)
