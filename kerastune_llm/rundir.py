"""The run directory: the only file that knows the file names in it.

Every write is atomic: a file is complete under a temporary name before it takes its
own, so a kill or a full disk leaves what was there.
"""

import contextlib
import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from kerastune_llm.errors import UserError

# What an OSError's number says where there is no room to write.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RunDir:
    """A run's files.

    ```
    config.json  environment.json  metrics.jsonl  log.txt  tensorboard/  checkpoints/
    model/ or adapter/  predictions/validation.jsonl  metrics.json  README.md  plots/
    ```
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.environment = self.path / "environment.json"
        self.history = self.path / "metrics.jsonl"
        self.log = self.path / "log.txt"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.adapter = self.path / "adapter"
        self.metrics = self.path / "metrics.json"
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
    def is_begun(self) -> bool:
        """Whether a run was begun here; it may be finished."""
        return self.config.exists()

    @classmethod
    def create(cls, path: Path) -> "RunDir":
        """A new run directory at `path`.

        Raises:
            UserError: It holds a run already, or cannot be written.
        """
        run = cls(path)
        if run.config.exists():
            state = "a finished" if run.metrics.exists() else "an unfinished"
            raise UserError(
                f"The output folder already holds {state} run.",
                received=str(path),
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
                received=str(path),
                mend="another --output DIR",
            ) from error
        return run

    @classmethod
    def begun(cls, path: Path) -> "RunDir":
        """The run directory at `path`, finished or not.

        Raises:
            UserError: No run was begun there.
        """
        run = cls(path)
        if not run.is_begun:
            raise UserError(
                "There is no run in this folder (no config.json).",
                received=str(path),
                mend="`kerastune train TASK --output DIR` makes one",
            )
        return run

    @classmethod
    def finished(cls, path: Path) -> "RunDir":
        """The run directory at `path`, whose run came to its end.

        Raises:
            UserError: No run was begun there, or it is not finished.
        """
        run = cls.begun(path)
        if not run.metrics.exists():
            raise UserError(
                "The run is not finished (no metrics.json).",
                received=str(path),
                mend=f"kerastune resume {path}",
            )
        return run

    @classmethod
    def open(cls, path: Path) -> "RunDir":
        """The run directory at `path`.

        Raises:
            UserError: There is no run with a saved model.
        """
        run = cls.begun(path)
        if not (run.model.is_dir() or run.adapter.is_dir()):
            raise UserError(
                "This run has no saved model: it ended before its first evaluation.",
                received=str(path),
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
            lines = self.history.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text(
                self.history, "".join(x for x in lines if _stays(x, step, evaluation))
            )


def _stays(line: str, step: int, evaluation: bool) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    stays_at_step = evaluation or "evaluation" not in record
    return record["step"] < step or (record["step"] == step and stays_at_step)


def new_run_path(*parts: str) -> Path:
    """`runs/` and a name out of `parts` and the time, not yet existing."""
    name = "-".join(part.strip("/").replace("/", "-") for part in parts)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path("runs") / f"{name}-{stamp}"
    return path if not path.exists() else path.with_name(f"{path.name}-{os.getpid()}")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8, making its folder."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary_sibling(path) as temporary:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def write_json(path: Path, values: object) -> None:
    """Write indented JSON atomically."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object to a line, atomically."""
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    write_text(path, "".join(lines))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """One JSON object a line, none where there is no such file."""
    # By line feeds alone: texts hold other marks that Python takes for line ends.
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return [json.loads(line) for line in lines if line]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _temporary_sibling(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
