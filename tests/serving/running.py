"""A real server in a thread, for the tests that ask it over a socket."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from kerastune_llm.serving.app import make_app
from kerastune_llm.serving.hosting import Host
from kerastune_llm.serving.saved_models import SavedVersion
from kerastune_llm.serving.server import open_socket
from kerastune_llm.serving.settings import Batching, Limits, Listening
from kerastune_llm.serving.telemetry import Metrics


@contextlib.contextmanager
def running(
    models: Sequence[SavedVersion],
    batching: Batching | None = None,
    limits: Limits | None = None,
    keys: Sequence[str] = (),
) -> Iterator[httpx.Client]:
    """A client of a server that has warmed up."""
    metrics = Metrics()
    host = Host(models, batching or Batching(), metrics)
    app = make_app(host, metrics, limits=limits or Limits(), keys=keys)
    with serving_app(app) as client:
        yield client


@contextlib.contextmanager
def serving_app(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of an application's server that has warmed up."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    with open_socket(Listening(port=0)) as opened:
        port = opened.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([opened],))
        thread.start()
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            try:
                until_ready(client)
                yield client
            finally:
                server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Served:
    """A `kerastune serve` in a process of its own; `log` holds all that it says."""

    process: subprocess.Popen
    log: Path

    def line(self, part: str) -> str:
        """The first line with `part` in it, waited for."""

        def found() -> list[str]:
            lines = self.log.read_text(encoding="utf-8").split("\n")[:-1]
            return [line for line in lines if part in line]

        eventually(lambda: bool(found()) or self.process.poll() is not None)
        return (found() or [self.log.read_text(encoding="utf-8")])[0]

    def address(self) -> str:
        """Where it listens."""
        return self.line("/v1/models/").partition("/v1/")[0]

    def stop(self, number: int) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextlib.contextmanager
def serving_process(
    folder: Path, log: Path, *flags: str, **env: str
) -> Iterator[Served]:
    """`kerastune serve FOLDER` at a free port, killed at the end."""
    command = [sys.executable, "-m", "kerastune_llm.cli", "serve", str(folder)]
    # Into a file: a full pipe would stop it.
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--port", "0", *flags],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
        )
    try:
        yield Served(process, log)
    finally:
        process.kill()
        process.wait()


def eventually(holds: Callable[[], bool]) -> None:
    """Ask until it holds; a TimeoutError after a minute."""
    end = time.monotonic() + 60
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def until_ready(client: httpx.Client) -> None:
    eventually(lambda: client.get("/readyz").status_code == 200)


def queued_rows(client: httpx.Client, model: str) -> float:
    """The rows that wait for version 1 of a model, as the metrics have it."""
    name = f'kerastune_queue_rows{{model="{model}",version="1"}} '
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[1])
