"""What a server must live through: SIGTERM and new versions under load, bad clients."""

import asyncio
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from tests.benchmarks.serve_client import (
    MEBIBYTE,
    Answers,
    Server,
    load,
    predictions,
    read_answer,
    request,
    serving,
)

UNDER_LOAD_SECONDS = 2.0
DEADLINE_SECONDS = 3
# What is sent so shortly before the signal may still lie in the socket, unread.
UNREAD_SECONDS = 0.05

Send = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[str]]


def faults(folder: Path, clients: int, flags: list[str]) -> bool:
    """Print a line a fault; whether the server stood them all."""
    print("| fault | should be | was |\n|---|---|---|", flush=True)
    lines = [
        asyncio.run(stopped(folder, clients, flags)),
        asyncio.run(swapped(folder, clients, flags)),
    ]
    patience = ("--deadline-seconds", str(DEADLINE_SECONDS))
    with serving(folder, *flags, *patience) as server:
        good = predictions(folder, server)[0]
        lines += asyncio.run(bad_clients(server, good))
    return all(lines)


def report(fault: str, expected: str, found: str) -> bool:
    """Print a line; whether it is as it should be."""
    print(f"| {fault} | {expected} | {found} |", flush=True)
    return found.startswith(expected)


async def stopped(folder: Path, clients: int, flags: list[str]) -> bool:
    """SIGTERM under load: what was accepted is answered."""
    with serving(folder, *flags) as server:
        answers, requests = Answers(), predictions(folder, server)
        ends = time.perf_counter() + 2 * UNDER_LOAD_SECONDS
        asking = asyncio.create_task(
            load(server, requests, clients, lambda: time.perf_counter() < ends, answers)
        )
        await asyncio.sleep(UNDER_LOAD_SECONDS)
        at = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        await asking
        code = await asyncio.to_thread(server.process.wait)
        log = server.log.read_text()
    accepted = log.count(':predict", "status": 200')
    lost = sum(sent < at - UNREAD_SECONDS for sent in answers.unanswered)
    after = sum(end > at for end in answers.ends)
    found = f"0 lost, exit 0 ({accepted} accepted, {after} answered after the signal)"
    if lost or code or accepted != len(answers.seconds):
        found = f"{lost} lost, {accepted} and {len(answers.seconds)}, exit {code}"
    return report("SIGTERM under load", "0 lost, exit 0", found)


async def swapped(folder: Path, clients: int, flags: list[str]) -> bool:
    """A new version comes and the old one goes under load."""
    with tempfile.TemporaryDirectory() as place:
        served = Path(shutil.copytree(folder, Path(place) / "served"))
        with serving(served, *flags, "--poll-seconds", "0.2") as server:
            answers, requests = Answers(), predictions(folder, server)
            done = asyncio.Event()
            asking = asyncio.create_task(
                load(server, requests, clients, lambda: not done.is_set(), answers)
            )
            model = served / server.model
            old = max(model.iterdir(), key=lambda path: int(path.name))
            new = model / str(int(old.name) + 1)
            await asyncio.to_thread(_swap, server, old, new)
            await asyncio.sleep(UNDER_LOAD_SECONDS / 4)
            done.set()
            await asking
    found = f"0 lost ({len(answers.seconds)} answered)"
    if answers.errors:
        found = f"{answers.errors} lost: {answers.refused[:5]}"
    return report("version swapped under load", "0 lost", found)


def _swap(server: Server, old: Path, new: Path) -> None:
    def versions() -> set[str]:
        found = json.loads(server.get(f"/v1/models/{server.model}")[1])
        return {one["version"] for one in found["model_version_status"]}

    time.sleep(UNDER_LOAD_SECONDS / 4)
    copied = new.with_name(".copied")
    shutil.copytree(old, copied)
    copied.rename(new)
    server.until(lambda: versions() == {old.name, new.name})
    old.rename(new.parents[1] / ".old")
    server.until(lambda: versions() == {new.name})


async def bad_clients(server: Server, good: bytes) -> list[bool]:
    """Each kind of bad client, and that the server answers a good one afterwards."""
    lines = []
    for fault, expected, send in kinds(server, good):
        found = await _with_connection(server, send)
        alive = await _with_connection(server, _sending(good))
        if alive != "200":
            found = f"{found}, then {alive} to a good request"
        lines.append(report(fault, expected, found))
    return lines


def kinds(server: Server, good: bytes) -> Iterator[tuple[str, str, Send]]:
    """Faults by name, with the status they should have."""
    path = f"/v1/models/{server.model}:predict"

    def sending(body: object) -> Send:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return _sending(request(path, raw))

    row = json.loads(good.partition(b"\r\n\r\n")[2])["instances"][0]
    wrong_types, wrong_names = dict.fromkeys(row, 1.5), {**row, "absent": "text"}
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    yield "a byte at a time", "408", _slow(head.encode() + b"{")
    yield "half a body, then gone", "gone", _half(head.encode() + b"half")
    yield "body of 100 MB", "413", sending(b" " * 100 * MEBIBYTE)
    yield "wrong types", "400", sending({"instances": [wrong_types]})
    yield "wrong names", "400", sending({"instances": [wrong_names]})
    yield "not an object", "400", sending([1, 2])
    yield "invalid UTF-8", "400", sending(b'{"instances": ["\xff\xfe"]}')
    yield "lone surrogate", "400", sending(b'{"instances": ["\\ud800"]}')
    yield "100,000 levels of JSON", "400", sending(b"[" * 100_000)
    yield "10,000 instances", "413", sending({"instances": [row] * 10_000})
    yield "no HTTP at all", "400", _sending(b"\x16\x03\x01 what\r\n\r\n")


async def _with_connection(server: Server, send: Send) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        return await asyncio.wait_for(send(reader, writer), 60)
    finally:
        writer.close()


def _sending(raw: bytes) -> Send:
    """Sends all of it; gives the status, which may come before the end."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        answer = asyncio.create_task(read_answer(reader))
        writer.write(raw)
        status, _ = await answer
        return str(status)

    return send


def _slow(begin: bytes) -> Send:
    """Goes on with a space every tenth of a second."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        answer = asyncio.create_task(read_answer(reader))
        writer.write(begin)
        while not answer.done():
            writer.write(b" ")
            await asyncio.wait([answer], timeout=0.1)
        return str((await answer)[0])

    return send


def _half(begin: bytes) -> Send:
    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        writer.write(begin)
        await writer.drain()
        return "gone"

    return send
