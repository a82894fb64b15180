"""The run directory: this file and `run_order` alone know the file names in it.

It may be at an address, such as `gs://bucket/run`. All work is then done on a copy of
this machine, which `publish` brings there; of a local one the copy is the directory.
"""

import contextlib
import json
import logging
import os
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from kerastune_llm.atomic import (
    read_jsonl,
    sha256_of,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
)
from kerastune_llm.errors import UserError
from kerastune_llm.remote import check_slashes, is_remote
from kerastune_llm.remote_errors import RemoteAway, RemoteRefused
from kerastune_llm.run_files import is_of_a_model, until
from kerastune_llm.run_order import CHECKPOINTS, CHECKSUMS, CONFIG, METRICS, mirror_of

__all__ = [
    "CHECKSUMS",
    "RunDir",
    "new_run_path",
    "read_jsonl",
    "sha256_of",
    "write_bytes",
    "write_json",
    "write_jsonl",
    "write_text",
]

logger = logging.getLogger(__name__)

# What a verb does not read is left where it is. A checkpoint is asked for by itself.
_ALL_BUT_CHECKPOINTS = (CHECKPOINTS,)
_TO_USE_THE_MODEL = (CHECKPOINTS, "tensorboard")
_TO_READ_ABOUT_IT = (*_TO_USE_THE_MODEL, "model", "adapter")


class RunDir:
    """A run's files.

    ```
    config.json  environment.json  metrics.jsonl  log.txt  tensorboard/  checkpoints/
    model/ or adapter/  predictions/validation.jsonl  metrics.json  README.md  plots/
    ```

    Args:
        place: A folder, or the address of one; nothing is made or fetched yet.

    Raises:
        RemoteRefused: It is an address that lacks a slash.
    """

    def __init__(self, place: str | Path) -> None:
        check_slashes(place)
        self._mirror = mirror_of(place) if is_remote(place) else None
        self._is_given_up = False
        #: Where its files are on this machine.
        self.path = self._mirror.copy if self._mirror else Path(place)
        #: Where it is, as the user calls it.
        self.place = self._mirror.address if self._mirror else self.path
        self.config = self.path / CONFIG
        self.environment = self.path / "environment.json"
        self.history = self.path / "metrics.jsonl"
        self.log = self.path / "log.txt"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / CHECKPOINTS
        self.model = self.path / "model"
        self.adapter = self.path / "adapter"
        self.metrics = self.path / METRICS
        self.card = self.path / "README.md"
        self.plots = self.path / "plots"

    @property
    def trained(self) -> Path:
        """Where the trained model is: `model/` whole, or `adapter/` on its base."""
        return self.adapter if self.adapter.is_dir() else self.model

    def predictions(self, split: str) -> Path:
        """File with the split's rows, one JSON object to a line."""
        return self.path / "predictions" / f"{split}.jsonl"

    def checkpoint(self, step: int) -> Path:
        """Folder of the run's state after that many updates."""
        return self.checkpoints / f"step-{step:08d}"

    def saved_checkpoints(self) -> list[Path]:
        """Folders of the saved states, the newest first."""
        return sorted(self.checkpoints.glob("step-*"), reverse=True)

    @property
    def saved_bytes(self) -> int:
        """Size of what was saved of the model: all of it, or an adapter."""
        if self._mirror:
            return self._mirror.size(self.trained)
        files = self.trained.rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())

    @property
    def is_begun(self) -> bool:
        """Whether a run was begun here; it may be finished."""
        return self.config.exists()

    def refresh(self, *, without: tuple[str, ...] = _ALL_BUT_CHECKPOINTS) -> "RunDir":
        """This run directory, what is elsewhere fetched but for some folders' files.

        Raises:
            RemoteRefused: It is at an address that cannot be used.
            RemoteAway: It cannot be reached.
        """
        if self._mirror:
            self._mirror.refresh(lambda name: name.partition("/")[0] not in without)
        return self

    def fetch(self, folder: Path) -> None:
        """See that a folder of the run directory has all its files on this machine."""
        if self._mirror:
            self._mirror.fetch(folder)

    def publish(self, *, at_end: bool = False) -> int:
        """Bring what is new to the address the run directory is at, if it is at one.

        Args:
            at_end: Whether there is no later time to try again.

        Returns:
            How many files were sent.

        Raises:
            JobFailed: They cannot be, and it is the end; before, it is a warning.
        """
        if self._mirror is None or self._is_given_up or not self.is_begun:
            return 0
        try:
            return self._mirror.publish()
        except (RemoteAway, RemoteRefused) as error:
            if at_end:
                self._is_given_up = True
                raise RemoteAway(
                    f"{error}\n  Everything is in {self.path}; "
                    f"`kerastune resume {self.place}`, on this machine, sends it."
                ) from error
            logger.warning(
                "%s What is new stays in %s until it can be sent.", error, self.path
            )
            return 0

    @classmethod
    def create(cls, place: str | Path) -> "RunDir":
        """A new run directory.

        Raises:
            UserError: It holds a run already, or cannot be written.
        """
        run = cls(place)
        if run._mirror and not run._mirror.holds(CONFIG):
            run._mirror.forget()  # a copy of a run that is there no more
        else:
            run.refresh(without=_TO_READ_ABOUT_IT)
        if run.config.exists():
            state = "a finished" if run.metrics.exists() else "an unfinished"
            raise UserError(
                f"The output folder already holds {state} run.",
                received=str(run.place),
                mend="another --output DIR, or remove the folder",
            )
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            probe = run.path / f".{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"The output folder cannot be written: {error.strerror}.",
                received=str(run.path),
                mend="another --output DIR",
            ) from error
        if run._mirror:
            run._mirror.check_writable()
        return run

    @classmethod
    def begun(
        cls, place: str | Path, *, without: tuple[str, ...] = _ALL_BUT_CHECKPOINTS
    ) -> "RunDir":
        """The run directory at a place, finished or not.

        Args:
            place: A folder, or the address of one.
            without: Folders whose files are not fetched where it is at an address.

        Raises:
            UserError: No run was begun there, or it is a model's folder.
        """
        run = cls(place).refresh(without=without)
        if not run.is_begun:
            raise UserError(
                "There is no run in this folder (no config.json).",
                received=str(run.place),
                mend="`kerastune train TASK --output DIR` makes one",
            )
        if is_of_a_model(run.config):
            raise UserError(
                "This is the folder of a model, not of a run.",
                received=str(run.place),
                mend=f"the run that has it as model/, or `kerastune train TASK --model "
                f"{place}`, which makes one of it",
            )
        return run

    @classmethod
    def finished(cls, place: str | Path) -> "RunDir":
        """The run directory at a place, whose run came to its end; to read about it.

        Raises:
            UserError: No run was begun there, or it is not finished.
        """
        run = cls.begun(place, without=_TO_READ_ABOUT_IT)
        if not run.metrics.exists():
            raise UserError(
                "The run is not finished (no metrics.json).",
                received=str(run.place),
                mend=f"kerastune resume {run.place}",
            )
        return run

    @classmethod
    def open(cls, place: str | Path) -> "RunDir":
        """The run directory at a place, to use its model.

        Raises:
            UserError: There is no run with a saved model.
        """
        run = cls.begun(place, without=_TO_USE_THE_MODEL)
        if not (run.model.is_dir() or run.adapter.is_dir()):
            raise UserError(
                "This run has no saved model: it ended before its first evaluation.",
                received=str(run.place),
                mend="train again to another --output DIR",
            )
        return run

    def discard_unbegun(self) -> None:
        """Remove the folder of a run that was refused before it began."""
        if not self.config.exists():
            self.log.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # files of the user's own are in it
                self.path.rmdir()

    def append_history(self, record: Mapping[str, Any]) -> None:
        """Add one line to `metrics.jsonl`."""
        with self.history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def read_history(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`, none where there is no such file."""
        return read_jsonl(self.history)

    def read_predictions(self, split: str) -> list[dict[str, Any]]:
        """The records of a split's rows, none where there is no such file."""
        return read_jsonl(self.predictions(split))

    def cut_history(self, step: int, *, evaluation: bool) -> None:
        """Leave out of `metrics.jsonl` what a run that goes on from `step` repeats.

        That is all after that update, and a last line that a kill broke off.

        Args:
            step: The last update that stays.
            evaluation: Whether the evaluation after it stays, too.
        """
        if self.history.exists():
            text = self.history.read_text(encoding="utf-8")
            write_text(self.history, until(text, step, evaluation=evaluation))


def new_run_path(*parts: str) -> Path:
    """`runs/` and a name out of `parts` and the time, not yet existing."""
    name = "-".join(part.strip("/").replace("/", "-") for part in parts)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path("runs") / f"{name}-{stamp}"
    return path if not path.exists() else path.with_name(f"{path.name}-{os.getpid()}")
