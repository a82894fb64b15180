"""`kerastune launch`: the workers of one run as processes of this machine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import BinaryIO

from kerastune_llm.commands.console import console, console_on_stderr
from kerastune_llm.errors import UserError

PROGRAM = (sys.executable, "-m", "kerastune_llm.cli")
# TensorFlow takes ten seconds to find that a worker is gone.
GRACE_SECONDS = 30.0
_POLL_SECONDS = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOPBACK = "127.0.0.1"
_LAST_PORT = 65535


def launch(
    command: Sequence[str],
    *,
    workers: int,
    port_base: int | None = None,
    program: Sequence[str] = PROGRAM,
) -> int:
    """Run a command in several processes that find one another by `TF_CONFIG`.

    The first one, the chief, has this terminal; of the others errors are shown, with
    the worker's number. Ctrl-C and SIGTERM are passed on to all. Where one fails, the
    others are told to end, and killed if they do not.

    Args:
        command: Of `kerastune`: `train …` or `resume RUN …`.
        workers: Processes.
        port_base: The first port of as many; default: free ones.
        program: What the command is for.

    Returns:
        0, or the exit code of the first process that failed; 128 and the signal's
        number for one that was killed.

    Raises:
        UserError: A port is not free.
    """
    ports = _free_ports(workers, port_base)
    addresses = [f"{_LOOPBACK}:{port}" for port in ports]
    with _Processes() as processes, _passing_on(processes):
        for index in range(workers):
            processes.start([*program, *command], addresses, index)
        return processes.wait()


class _Processes:
    """The workers' processes, none of which is left running."""

    def __init__(self) -> None:
        self._running: dict[int, subprocess.Popen] = {}
        self._readers: list[threading.Thread] = []
        self._signal: int | None = None

    def __enter__(self) -> "_Processes":
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()
        for reader in self._readers:
            reader.join()

    def start(
        self, command: Sequence[str], addresses: Sequence[str], index: int
    ) -> None:
        """Start the worker with that number."""
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": list(addresses)}, "task": task}
        process = subprocess.Popen(
            command,
            env={**os.environ, "TF_CONFIG": json.dumps(config)},
            stdin=subprocess.DEVNULL,
            stdout=None if index == 0 else subprocess.DEVNULL,
            stderr=None if index == 0 else subprocess.PIPE,
            # The terminal's Ctrl-C comes once, from here.
            process_group=0,
        )
        self._running[index] = process
        if process.stderr is not None:
            reader = threading.Thread(target=_prefix, args=(process.stderr, index))
            reader.start()
            self._readers.append(reader)
        if self._signal is not None:
            process.send_signal(self._signal)

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        """Hand a signal to all, and to those that are yet to start."""
        self._signal = number
        for process in list(self._running.values()):
            process.send_signal(number)

    def wait(self) -> int:
        """Wait for all; the first code that is not zero, else zero."""
        failed: int | None = None
        deadline = float("inf")
        while self._running:
            for index, process in list(self._running.items()):
                code = process.poll()
                if code is None:
                    continue
                del self._running[index]
                if code and failed is None:
                    failed = code if code > 0 else 128 - code
                    deadline = time.monotonic() + GRACE_SECONDS
                    self._end_others(index, failed)
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        return failed or 0

    def _end_others(self, index: int, code: int) -> None:
        # Where a signal was passed on, they are ending, and a second one would not
        # let them save.
        if self._signal is not None or not self._running:
            return
        with console_on_stderr():
            console.print(f"worker {index} ended with code {code}; ending the others")
        for process in self._running.values():
            process.terminate()


def _prefix(lines: BinaryIO, index: int) -> None:
    """Show a worker's errors with its number."""
    with lines:
        for line in lines:
            sys.stderr.buffer.write(b"worker %d: %s" % (index, line))
            sys.stderr.buffer.flush()


@contextlib.contextmanager
def _passing_on(processes: _Processes) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers no signals to other threads.
        return
    before = {number: signal.signal(number, processes.pass_on) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_ports(count: int, base: int | None) -> list[int]:
    """Ports of the loopback address that nothing listens on."""
    if base is not None and not 0 < base <= _LAST_PORT - count + 1:
        raise UserError(
            "There are no such ports.",
            accepted=f"1 to {_LAST_PORT - count + 1}",
            received=f"--port-base {base}",
        )
    wanted = [0] * count if base is None else range(base, base + count)
    with contextlib.ExitStack() as opened:
        ports = []
        for port in wanted:
            try:
                listening = socket.create_server((_LOOPBACK, port))
            except OSError as error:
                raise UserError(
                    f"A port is not free: {error.strerror}.",
                    received=f"port {port}",
                    mend="another --port-base, or none for free ports",
                ) from error
            ports.append(opened.enter_context(listening).getsockname()[1])
        return ports
