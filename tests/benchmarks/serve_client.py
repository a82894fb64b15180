"""A server in a process of its own, and clients on bare sockets that cost little."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MEBIBYTE = 2**20


@dataclass
class Server:
    """A running server: its process, its port, and the model that is asked."""

    process: subprocess.Popen
    port: int
    model: str
    log: Path

    def memory(self) -> float:
        """What it holds in memory, in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of what is at a path."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that the server does."""
        while not holds():
            if self.process.poll() is not None:
                sys.exit(f"the server ended:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)


@contextlib.contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Server]:
    """A server of an exported model's folder, warm."""
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        command = [sys.executable, "-m", "kerastune_llm.cli", "serve", str(folder)]
        with log.open("w") as out:
            process = subprocess.Popen(
                [*command, "--port", "0", *flags],
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).parents[2],
            )
        try:
            server = Server(process, 0, "", log)
            server.until(lambda: "/versions/" in log.read_text())
            first = next(x for x in log.read_text().split("\n") if "/versions/" in x)
            server.port = int(first.partition("/v1/")[0].rpartition(":")[2])
            server.model = first.partition("/v1/models/")[2].partition("/")[0]
            server.until(lambda: server.get("/readyz")[0] == 200)
            yield server
        finally:
            process.kill()
            process.wait()


def request(path: str, body: bytes) -> bytes:
    """An HTTP/1.1 request whose connection stays open."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
    return f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body


def predictions(folder: Path, server: Server) -> list[bytes]:
    """Requests of one row each, as many as there are examples with the model."""
    newest = max(folder.glob(f"{server.model}/*"), key=lambda p: int(p.name))
    extra = newest / "assets.extra/examples.json"
    if extra.exists():
        rows = json.loads(extra.read_text())["rows"]
    else:
        rows = [json.loads((newest / "export.json").read_text())["example"]]
    path = f"/v1/models/{server.model}:predict"
    bodies = (json.dumps({"instances": [row]}).encode() for row in rows)
    return [request(path, body) for body in bodies]


@dataclass
class Answers:
    """What the clients got.

    `seconds` and `ends` of the answers with 200; `refused` counts other statuses;
    `unanswered` holds, for each request whose connection broke, when it was sent.
    """

    seconds: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    unanswered: list[float] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Requests without the answer that they should have."""
        return len(self.refused) + len(self.unanswered)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer on a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(line[15:] for line in lines if line.startswith(b"content-length:"))
    return int(head[9:12]), await reader.readexactly(int(length))


async def load(
    server: Server,
    requests: Sequence[bytes],
    clients: int,
    goes_on: Callable[[], bool],
    answers: Answers,
) -> None:
    """Let clients ask, each its next request when the last is answered."""

    async def client(number: int) -> None:
        turn, writer = number, None
        while goes_on():
            sent = time.perf_counter()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1", server.port
                    )
                writer.write(requests[turn % len(requests)])
                status, _ = await read_answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                answers.unanswered.append(sent)
                writer = None
                await asyncio.sleep(0.05)
                continue
            turn += clients
            if status == 200:
                answers.ends.append(time.perf_counter())
                answers.seconds.append(answers.ends[-1] - sent)
            else:
                answers.refused.append(status)
        if writer is not None:
            writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
