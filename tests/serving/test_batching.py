"""The queue: what goes into one batch, what is turned away, what is still answered."""

import threading

import numpy as np
import pytest

from kerastune_llm.serving.batching import Batcher, QueueClosed, QueueFull
from kerastune_llm.serving.rest import ModelRequest

FOREVER_MS = 60_000.0


def doubled(signature, columns):
    return {"out": (columns["x"] * 2).tolist()}


def request(*values, signature="s"):
    return ModelRequest(signature, {"x": np.array(values)})


def answers(futures):
    return [row for future in futures for row in future.result(timeout=30)["out"]]


@pytest.fixture
def batches():
    return []


@pytest.fixture
def make(batches):
    """Makes batchers, and closes them."""
    made = []

    def build(run=doubled, *, max_batch=4, batch_timeout_ms=FOREVER_MS, max_queue=16):
        batcher = Batcher(
            run,
            max_batch=max_batch,
            batch_timeout_ms=batch_timeout_ms,
            max_queue=max_queue,
            on_batch=batches.append,
        )
        made.append(batcher)
        return batcher

    yield build
    for batcher in made:
        batcher.close()


def test_requests_share_a_batch_and_get_their_own_rows(make, batches):
    batcher = make()
    futures = [batcher.submit(request(*rows), together=True) for rows in ([1, 2], [3])]
    futures.append(batcher.submit(request(4), together=True))
    assert [answers(future) for future in futures] == [[2, 4], [6], [8]]
    assert batches == [4]


def test_a_batch_does_not_wait_longer_than_it_may(make, batches):
    batcher = make(batch_timeout_ms=1.0)
    assert answers(batcher.submit(request(1), together=True)) == [2]
    assert batches == [1]


def test_a_long_request_is_cut(make, batches):
    futures = make(batch_timeout_ms=0.0).submit(request(*range(10)), together=True)
    assert answers(futures) == [2 * number for number in range(10)]
    assert batches == [4, 4, 2]


def test_a_request_alone_is_answered_at_once_and_whole(make, batches):
    futures = make().submit(request(*range(10)), together=False)
    assert answers(futures) == [2 * number for number in range(10)]
    assert batches == [10]


def test_signatures_do_not_mix(make, batches):
    seen = []

    def noting(signature, columns):
        seen.append(signature)
        return doubled(signature, columns)

    batcher = make(noting)
    one = batcher.submit(request(1, 2), together=True)
    two = batcher.submit(request(3, 4, signature="t"), together=True)
    batcher.close()
    assert answers(one) == [2, 4] and answers(two) == [6, 8]
    assert seen == ["s", "t"] and batches == [2, 2]


def test_a_full_queue_turns_away_until_somebody_gives_up(make):
    batcher = make(max_batch=100, max_queue=4)
    waiting = batcher.submit(request(1, 2, 3), together=True)
    with pytest.raises(QueueFull):
        batcher.submit(request(4, 5), together=True)
    assert batcher.waiting_rows() == 3
    assert all(future.cancel() for future in waiting)
    later = batcher.submit(request(4, 5), together=True)
    batcher.close()
    assert answers(later) == [8, 10]
    with pytest.raises(QueueClosed):
        batcher.submit(request(6), together=True)


def test_closing_answers_what_waits(make, batches):
    batcher = make(max_batch=100, max_queue=1000)
    futures = [batcher.submit(request(n), together=True) for n in range(50)]
    batcher.close()
    assert [answers(future) for future in futures] == [[2 * n] for n in range(50)]
    assert batches == [50]


def test_a_failure_reaches_those_who_wait_and_nobody_else(make):
    def failing(signature, columns):
        if 13 in columns["x"]:
            raise RuntimeError("thirteen")
        return doubled(signature, columns)

    batcher = make(failing, max_batch=1)
    with pytest.raises(RuntimeError, match="thirteen"):
        answers(batcher.submit(request(13), together=True))
    assert answers(batcher.submit(request(14), together=True)) == [28]


def test_many_threads_get_their_own_answers(make):
    batcher = make(max_batch=8, batch_timeout_ms=1.0, max_queue=10_000)
    wrong = []

    def ask(first):
        for number in range(first, first + 100):
            if answers(batcher.submit(request(number), together=True)) != [2 * number]:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(1000 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
