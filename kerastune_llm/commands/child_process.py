"""A command in a process of its own: what it took, and Ctrl-C passed on to it."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

_STATUS = Path("/proc/self/status")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# `ru_maxrss` is in KiB on Linux and in bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Args:
        code: Exit code; negative for a signal that killed it.
        seconds: From its start to its end.
        peak_memory: Largest resident memory in bytes.
        interrupted: Whether a signal to stop came while it ran.
    """

    code: int
    seconds: float
    peak_memory: int
    interrupted: bool


def run_process(command: Sequence[str], log: Path) -> Outcome:
    """Run a command to its end, its output going to the file `log`.

    SIGINT and SIGTERM are passed on to it and not raised here: it ends when it has
    saved.

    Keep the calling process small. Linux counts the memory of the process that starts
    another into the peak of the one started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with _passing_on() as passed_on, log.open("wb") as output:
        began = time.monotonic()
        # A process group of its own: the terminal's Ctrl-C comes once, from here.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        passed_on.to(process)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Outcome(
        code=process.returncode,
        seconds=time.monotonic() - began,
        peak_memory=usage.ru_maxrss * _RSS_UNIT,
        interrupted=passed_on.received,
    )


def own_peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    if _STATUS.exists():
        # Without what the process had taken that started this one.
        lines = _STATUS.read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


class _PassedOn:
    """Signals that came, handed to the process once there is one."""

    def __init__(self) -> None:
        self.received = False
        self._process: subprocess.Popen | None = None

    def to(self, process: subprocess.Popen) -> None:
        self._process = process
        if self.received:
            process.send_signal(signal.SIGINT)

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        if self._process is not None:
            self._process.send_signal(number)


@contextlib.contextmanager
def _passing_on() -> Iterator[_PassedOn]:
    passed_on = _PassedOn()
    if threading.current_thread() is not threading.main_thread():
        yield passed_on  # Python delivers no signals to other threads.
        return
    before = {number: signal.signal(number, passed_on.handle) for number in _SIGNALS}
    try:
        yield passed_on
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def last_message(log: Path) -> str:
    """What a command that failed said last: its own error, else the last line.

    The errors of `kerastune` begin with its name and may have several lines.
    """
    lines = log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith("kerastune: ")]
    if starts:
        return "\n".join(lines[starts[-1] :]).removeprefix("kerastune: ")
    return lines[-1] if lines else "it said nothing"
