"""A bucket of an emulator process, and a way to it whose connections can be cut."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator

import fsspec

BUCKET = "bucket"
_CHUNK = 1 << 14
# A closed socket that sends a reset, as a connection that is lost does.
_RESET = struct.pack("ii", 1, 0)


@contextlib.contextmanager
def emulator() -> Iterator[int]:
    """The port of a Google Cloud Storage emulator of its own, with an empty bucket."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["gcp_storage_emulator", "start", "--host", "127.0.0.1", "--in-memory"]
    command += ["--port", str(port), "--default-bucket", BUCKET]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    reader = threading.Thread(target=process.stdout.read, daemon=True)
    try:
        lines = iter(process.stdout.readline, "")
        started = any("All services started" in line for line in lines)
        assert started, f"the emulator ended with {process.wait()}"
        # It says every request; a full pipe would stop it.
        reader.start()
        yield port
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()


def bucket_at(port: int, monkeypatch) -> None:
    """Let gs:// be the bucket behind this port, for this process and its children."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    # No question to the real service what kind of bucket it is.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    fsspec.get_filesystem_class("gs").clear_instance_cache()


class Wire:
    """A way to a port on which all connections are cut at certain points.

    Args:
        port: Where it goes.
        cuts: After how many bytes to the port; each once, in order.
        refused: How many connections are refused after each cut.
    """

    def __init__(self, port: int, cuts: list[int], refused: int = 1) -> None:
        self.target, self.refused = port, refused
        self.left, self.refusing = list(cuts), 0
        self.sent = 0
        self._live: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Cut everything, for good."""
        self._server.close()
        self._cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                if self.refusing:
                    self.refusing -= 1
                    _reset(client)
                    continue
                server = socket.create_connection(("127.0.0.1", self.target))
                self._live |= {client, server}
                for pair in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(_CHUNK):
                if counts and self._is_cut(len(data)):
                    # Half of it arrives.
                    other.sendall(data[: len(data) // 2])
                    self._cut()
                    return
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def _is_cut(self, size: int) -> bool:
        with self._lock:
            self.sent += size
            if not self.left or self.sent < self.left[0]:
                return False
            self.left.pop(0)
            self.refusing = self.refused
            return True

    def _cut(self) -> None:
        live, self._live = self._live, set()
        for connection in live:
            _reset(connection)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
