"""The state of a run on disk: written whole or not at all, checked when it is read."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError
from kerastune_llm.models.safetensors_writer import write_safetensors
from kerastune_llm.rundir import CHECKSUMS, sha256_of
from kerastune_llm.training.model_state import restore_state, state_parameters

TENSORS = "tensors.safetensors"
STATE = "state.json"
# Folders in the making, and on their way out; a kill may leave them.
_WRITING, _DISCARDED = ".writing", ".discarded"


class DamagedCheckpoint(UserError):
    """A checkpoint is not what was written."""


def save_checkpoint(
    folder: Path,
    model: keras.Model,
    state: Mapping[str, Any],
    *,
    obsolete: Iterable[Path] = (),
) -> None:
    """Write what a run goes on from into `folder`.

    Args:
        folder: Where; it has its name only when all of it is on the disk.
        model: Compiled, with an optimizer of `build_optimizer`.
        state: Plain values to be read back.
        obsolete: Checkpoints beside it that are removed then.

    Raises:
        UserError: There is no room for it; earlier ones are as they were.
    """
    try:
        _write(folder, model, state)
        for old in obsolete:
            _discard(old)
    except OSError as error:
        shutil.rmtree(folder.parent / _WRITING, ignore_errors=True)
        raise UserError(
            f"The checkpoint cannot be written: {error.strerror or error}. Earlier "
            "ones are whole.",
            received=str(folder),
            mend="free some space, then resume the run",
        ) from error


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The plain values of a checkpoint, its files compared with their checksums.

    Raises:
        DamagedCheckpoint: A file is missing or is not what was written.
    """
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        expected = {name: digest for digest, name in (x.split("  ") for x in lines)}
        for name in (TENSORS, STATE):
            if sha256_of(folder / name) != expected.get(name):
                raise ValueError(f"{name} is not what was written")
        return json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedCheckpoint(
            f"The checkpoint is damaged: {error}.", received=str(folder)
        ) from error


def restore_checkpoint(folder: Path, model: keras.Model) -> None:
    """Give a compiled model the weights and its optimizer the state of a checkpoint.

    Raises:
        UserError: The checkpoint is of another model or method.
    """
    restore_state(folder / TENSORS, model)


def _write(folder: Path, model: keras.Model, state: Mapping[str, Any]) -> None:
    new = folder.parent / _WRITING
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    write_safetensors(list(state_parameters(model).values()), new / TENSORS)
    _write_text(new / STATE, json.dumps(state, indent=2))
    sums = (f"{sha256_of(new / name)}  {name}\n" for name in (TENSORS, STATE))
    _write_text(new / CHECKSUMS, "".join(sums))
    _sync(new)
    if folder.exists():  # damaged: a run does not come to one step twice otherwise
        _discard(folder)
    new.rename(folder)
    _sync(folder.parent)


def _discard(folder: Path) -> None:
    """Remove a checkpoint; a kill in between leaves none that is half there."""
    gone = folder.parent / _DISCARDED
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone)


def _write_text(file: Path, text: str) -> None:
    with file.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def _sync(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
