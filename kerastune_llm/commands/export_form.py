"""What a form of export is, and what may be asked of one that is served."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.rundir import RunDir

if TYPE_CHECKING:
    from kerastune_llm.backend import keras
    from kerastune_llm.commands.job import Job

WEIGHTS = ("float32", "float16", "int8")
_POSITIVE = ("version", "num_beams", "max_new_tokens")


@dataclass(frozen=True)
class ServingOptions:
    """How a model is to be served; `None` where nothing was asked for.

    Args:
        name: The name it is served under. Default: the task's.
        version: Its version. Default: one above the highest there is.
        num_beams: Beams of generation; 1 is greedy. Default: the run's.
        max_new_tokens: Longest answer, in tokens. Default: the run's.
        weights: How weights are stored, one of `WEIGHTS`. Default: `"float32"`.

    Raises:
        UserError: A value is none that any model could have.
    """

    name: str | None = None
    version: int | None = None
    num_beams: int | None = None
    max_new_tokens: int | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.name is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            problems.append(
                UserError(
                    "--name must be a plain word, for it is part of an address.",
                    accepted="letters, digits, - and _",
                    received=repr(self.name),
                )
            )
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and value < 1:
                problems.append(
                    UserError(
                        f"{_flag(name)} must be positive.",
                        accepted="a whole number from 1",
                        received=value,
                    )
                )
        if problems:
            raise UserErrors(problems)

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that were given.

        >>> ServingOptions(version=2, weights="int8").flags
        ('--version', '--weights')
        """
        given = (f.name for f in fields(self) if getattr(self, f.name) is not None)
        return tuple(map(_flag, given))


@dataclass(frozen=True)
class Form:
    """A form in which a run leaves.

    Args:
        summary: One line for `--help`.
        write: `(run, job, model, folder, options)` writes the loaded model, whole or
            not at all, and gives what to run next, as lines to be printed.
        check: `(job, folder, options)` refuses before the model is loaded what cannot
            be written.
    """

    summary: str
    write: Callable[["RunDir", "Job", "keras.Model", Path, ServingOptions], str]
    check: Callable[["Job", Path, ServingOptions], None]


def check_new_folder(job: "Job", folder: Path, options: ServingOptions) -> None:
    """The check of a form that fills a folder of its own and is not for a server.

    Raises:
        UserError: The folder is not empty, or a flag is for a served model.
    """
    del job
    if options.flags:
        raise UserError(
            f"{', '.join(options.flags)}: for a served model only.",
            mend="--to savedmodel, or leave it out",
        )
    taken = folder.is_dir() and any(folder.iterdir())
    if taken or (folder.exists() and not folder.is_dir()):
        raise UserError(
            "The place for the export is taken.",
            accepted="a new or an empty folder",
            received=str(folder),
            mend="another folder, or remove this one",
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
