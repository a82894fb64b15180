"""`kerastune completion`."""

import argparse
import sys
from pathlib import Path

from kerastune_llm.registry import METHODS, OPTIMIZERS, TASKS, VERBS
from kerastune_llm.verbs.verb import Verb

SHELLS = ("bash", "zsh")
# Flags and positionals whose values are names in a register, by argparse's `dest`.
NAMES = {"task": TASKS, "method.name": METHODS, "optim.name": OPTIMIZERS}


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shell", choices=SHELLS, metavar="SHELL", help=" or ".join(SHELLS)
    )


def _run(options: argparse.Namespace) -> int:
    sys.stdout.write(completion(options.shell) + "\n")
    return 0


def completion(shell: str) -> str:
    """The script that completes verbs, flags and names in a shell.

    It is made of the parser itself, so that it knows what the parser knows.
    """
    import shtab

    from kerastune_llm.arguments import whole_parser

    parser, verbs = whole_parser()
    for action in (action for verb in verbs.values() for action in verb._actions):
        if action.dest in NAMES:
            # For this parser alone, which parses nothing: a task of one's own, from a
            # --task-file, is not among them.
            action.choices = NAMES[action.dest].names()
        elif action.type is Path:
            action.complete = shtab.FILE
        elif action.choices is None and "|" in (action.metavar or ""):
            action.choices = action.metavar.split("|")
    return shtab.complete(parser, shell)


VERBS.register("completion")(
    Verb(
        summary="print the script with which a shell completes kerastune's words",
        usage="bash|zsh",
        example="kerastune completion bash > ~/.kerastune-completion.bash",
        add_flags=_add_flags,
        run=_run,
    )
)
