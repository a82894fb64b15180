"""Versions that come and go in a server's folder while it answers."""

import itertools
import logging
import shutil
import threading

import pytest

EXTRA = "needs the extra: pip install '.[serve]'"
pytest.importorskip("fastapi", reason=EXTRA)
pytest.importorskip("uvicorn", reason=EXTRA)
pytest.importorskip("prometheus_client", reason=EXTRA)

from kerastune_llm.serving.app import make_app  # noqa: E402
from kerastune_llm.serving.batching import QueueClosed  # noqa: E402
from kerastune_llm.serving.hosting import Host  # noqa: E402
from kerastune_llm.serving.rest import ModelRequest, RequestError  # noqa: E402
from kerastune_llm.serving.saved_models import load_folder  # noqa: E402
from kerastune_llm.serving.settings import Batching, Limits  # noqa: E402
from kerastune_llm.serving.telemetry import Metrics  # noqa: E402
from kerastune_llm.serving.watching import Watcher, watching  # noqa: E402
from tests.serving.running import eventually, serving_app  # noqa: E402

ROW = {"sentence1": "dogs bark", "sentence2": "bark"}


class Served:
    """A host of `pairs/1` in a folder of its own, and its watcher."""

    def __init__(self, folder, source):
        self.folder, self.source = folder, source
        self.metrics = Metrics()
        self.put(1)
        self.host = Host(load_folder(folder), Batching(max_batch=4), self.metrics)
        self.watcher = Watcher(folder, self.host)

    def put(self, version):
        """As an export does it: whole, by renaming."""
        new = shutil.copytree(self.source / "pairs/1", self.folder / "pairs/.new")
        new.rename(self.folder / "pairs" / str(version))

    def versions(self):
        return sorted(model.version for model in self.host.models())


@pytest.fixture
def served(pairs, tmp_path):
    served = Served(tmp_path, pairs.folder)
    yield served
    served.host.close()


def test_a_new_version_is_taken_and_one_that_is_gone_is_dropped(served):
    request = ModelRequest("serving_default", served.host.models()[0].example(1))
    served.put(2)
    served.watcher.look()
    assert served.versions() == [1, 2]
    assert served.host.find("pairs", None).model.version == 2
    first = served.host.find("pairs", "1")
    (waiting,) = first.submit(request)
    shutil.rmtree(served.folder / "pairs/1")
    served.watcher.look()
    assert served.versions() == [2]
    assert len(waiting.result(timeout=0)["label"]) == 1  # answered before it went
    with pytest.raises(QueueClosed):
        first.submit(request)
    with pytest.raises(RequestError, match="Specific\\(pairs, 1\\)"):
        served.host.find("pairs", "1")
    assert b'version="1"' not in served.metrics.text()
    shutil.rmtree(served.folder / "pairs")
    served.watcher.look()
    with pytest.raises(RequestError, match="Could not find any versions"):
        served.host.versions("pairs", None)


def test_a_version_that_cannot_be_read_is_named_once(served, caplog):
    caplog.set_level(logging.INFO, logger="kerastune_llm")
    served.put(2)
    index = served.folder / "pairs/2/variables/variables.index"
    kept = index.rename(served.folder / "kept")
    for _ in range(2):
        served.watcher.look()
    assert served.versions() == [1]
    (message,) = caplog.messages
    assert "A file of the exported model is missing: variables" in message
    kept.rename(index)
    served.watcher.look()
    assert served.versions() == [1, 2]


def test_a_version_that_fails_when_asked_is_not_taken(served, monkeypatch, caplog):
    def failing(self, signature, columns):
        raise RuntimeError("it cannot")

    served.put(2)
    monkeypatch.setattr(type(served.host.models()[0]), "answer", failing)
    served.watcher.look()
    assert served.versions() == [1] and "it cannot" in caplog.text


def test_a_folder_that_is_away_drops_nothing(served, caplog):
    away = served.folder.rename(served.folder.with_name("away"))
    with watching(served.folder, served.host, 0.01):
        eventually(lambda: "cannot be looked at" in caplog.text)
    assert served.versions() == [1]
    away.rename(served.folder)


def test_a_swap_under_load_loses_nothing(served):
    over, statuses = threading.Event(), []
    app = make_app(served.host, served.metrics, limits=Limits())
    with serving_app(app) as client:

        def ask():
            while not over.is_set():
                body = {"instances": [ROW]}
                answer = client.post("/v1/models/pairs:predict", json=body)
                statuses.append(answer.status_code)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(statuses) > 8)
        served.put(2)
        shutil.rmtree(served.folder / "pairs/1")
        served.watcher.look()
        seen = len(statuses)
        eventually(lambda: len(statuses) > seen + 8)
        over.set()
        for thread in threads:
            thread.join()
    assert served.versions() == [2]
    assert set(statuses) == {200}


def test_a_request_whose_version_was_just_dropped_goes_to_the_next(served):
    """The application finds version 2, which is dropped before it can ask it."""
    served.put(2)
    served.watcher.look()
    dropped = served.host.find("pairs", "2")
    shutil.rmtree(served.folder / "pairs/2")
    served.watcher.look()
    find, finds = served.host.find, itertools.count()

    def late(name, version):
        # The first look refuses unknown names, the second is the one that counts.
        return dropped if next(finds) == 1 else find(name, version)

    served.host.find = late
    app = make_app(served.host, served.metrics, limits=Limits())
    with serving_app(app) as client:
        answer = client.post("/v1/models/pairs:predict", json={"instances": [ROW]})
    assert answer.status_code == 200 and next(finds) > 2
