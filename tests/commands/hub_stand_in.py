"""A stand-in for the hub's HTTP API on loopback, as far as an upload asks it.

Paths and answers follow huggingface_hub's client and the Git LFS batch API.
"""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_good"


@dataclass
class Hub:
    """What the stand-in knows: the user is `me`.

    Args:
        endpoint: Its address.
        private: Whether each repository is private.
        files: Contents of the committed files, by `repository@branch`.
        stored: Contents of uploaded large files, by their sha256.
        requests: Method and path of every request.
        refuses_card: Whether the front matter of a card is refused.
    """

    endpoint: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refuses_card: bool = False


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        if self._is_known():
            if self.path == "/api/whoami-v2":
                return self._answer(200, {"name": "me", "orgs": []})
            repository = self.path.removeprefix("/api/models/")
            if repository in self.hub.private:
                is_private = self.hub.private[repository]
                return self._answer(200, {"id": repository, "private": is_private})
            return self._answer(404, {"error": "Repository not found"})
        return None

    def do_PUT(self) -> None:
        self.hub.requests.append("PUT")
        content = self._body()
        oid = self.path.removeprefix("/large/")
        if hashlib.sha256(content).hexdigest() != oid:
            return self._answer(400, {"error": "wrong sha256"})
        self.hub.stored[oid] = content
        return self._answer(200, {})

    def do_POST(self) -> None:
        if not self._is_known():
            return None
        body = self._body()
        parts = self.path.strip("/").split("/")
        if self.path == "/api/repos/create":
            return self._create(json.loads(body))
        if self.path == "/api/validate-yaml":
            errors = [{"message": "no good"}] if self.hub.refuses_card else []
            return self._answer(
                400 if errors else 200, {"errors": errors, "warnings": []}
            )
        if self.path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        if parts[:2] == ["api", "models"] and parts[4] == "branch":
            self.hub.files.setdefault(f"{parts[2]}/{parts[3]}@{parts[5]}", {})
            return self._answer(200, {})
        if parts[:2] == ["api", "models"] and parts[4] == "preupload":
            return self._answer(200, {"files": [_mode(x) for x in _files(body)]})
        return self._commit(f"{parts[2]}/{parts[3]}", parts[5], body)

    def _create(self, wanted: dict) -> None:
        repository = f"{wanted['organization']}/{wanted['name']}"
        url = {"url": f"{self.hub.endpoint}/{repository}"}
        if wanted["organization"] != "me":
            return self._answer(403, {"error": "You don't have the rights"})
        if repository in self.hub.private:
            return self._answer(409, {"error": "You already created this", **url})
        self.hub.private[repository] = wanted.get("private") is True
        return self._answer(200, url)

    def _batch(self, asked: dict) -> None:
        objects = []
        for wanted in asked["objects"]:
            href = f"{self.hub.endpoint}/large/{wanted['oid']}"
            objects.append({**wanted, "actions": {"upload": {"href": href}}})
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _commit(self, repository: str, branch: str, body: bytes) -> None:
        place = self.hub.files.setdefault(f"{repository}@{branch}", {})
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                place[value["path"]] = base64.b64decode(value["content"])
            if line["key"] == "lfsFile":
                place[value["path"]] = self.hub.stored[value["oid"]]
        url = f"{self.hub.endpoint}/{repository}/commit/c0ffee"
        self._answer(200, {"commitUrl": url, "commitOid": "c0ffee"})

    def _is_known(self) -> bool:
        self.hub.requests.append(f"{self.command} {self.path}")
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._body()
        self._answer(401, {"error": "Invalid username or password."})
        return False

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, values: dict) -> None:
        content = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def _files(body: bytes) -> list[dict]:
    return json.loads(body)["files"]


def _mode(file: dict) -> dict:
    is_large = file["path"].endswith(".safetensors")
    mode = "lfs" if is_large else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


@contextlib.contextmanager
def hub_on_loopback() -> Iterator[Hub]:
    """A hub that answers until the end of the block."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
