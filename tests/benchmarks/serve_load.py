"""Load on a server of an exported model: speed, memory, faults.

    python tests/benchmarks/serve_load.py DIR --seconds 60 --clients 1 16 64
    python tests/benchmarks/serve_load.py DIR --requests 50000
    python tests/benchmarks/serve_load.py DIR --faults

DIR is what `kerastune export RUN --to savedmodel DIR` wrote. The server and the clients
are processes of their own on the loopback; a request has one row, and a client asks
again when it is answered. Prints a Markdown table; exit code 1 for a lost request.
"""

import argparse
import asyncio
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.serve_client import Answers, load, predictions, serving
from tests.benchmarks.serve_faults import faults

KINDS = {"with batching": (), "--max-batch 1": ("--max-batch", "1")}
MEASUREMENTS = 10


def percentile(seconds: list[float], part: float) -> float:
    """In milliseconds, by the nearest rank."""
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def speed(folder: Path, seconds: float, clients: list[int], flags: list[str]) -> bool:
    """A line a kind of server and number of clients; whether all was answered."""
    print("| server | clients | requests/s | p50 ms | p99 ms | errors |")
    print("|---|---|---|---|---|---|", flush=True)
    whole, rates = True, {}
    for kind, own in KINDS.items():
        with serving(folder, *flags, *own) as server:
            requests = predictions(folder, server)
            for number in clients:
                answers, until = Answers(), time.perf_counter() + seconds
                asyncio.run(
                    load(
                        server,
                        requests,
                        number,
                        lambda until=until: time.perf_counter() < until,
                        answers,
                    )
                )
                rates[kind, number] = len(answers.seconds) / seconds
                p50 = statistics.median(answers.seconds) * 1000
                p99 = percentile(answers.seconds, 0.99)
                cells = f"{rates[kind, number]:.1f} | {p50:.1f} | {p99:.1f}"
                print(f"| {kind} | {number} | {cells} | {answers.errors} |", flush=True)
                whole &= not answers.errors
    together, alone = (rates[kind, clients[-1]] for kind in KINDS)
    print(
        f"\n{clients[-1]} clients: batching gives {together / alone:.2f} times as many"
    )
    return whole


def memory(folder: Path, count: int, clients: int, flags: list[str]) -> bool:
    """The server's memory over so many requests; whether all was answered."""
    print("| requests | memory MiB | errors |\n|---|---|---|", flush=True)
    whole = True
    with serving(folder, *flags) as server:
        requests = predictions(folder, server)
        print(f"| 0 | {server.memory():.0f} | 0 |", flush=True)
        steps = [count * n // MEASUREMENTS for n in range(MEASUREMENTS + 1)]
        for start, end in pairwise(steps):
            answers, left = Answers(), iter(range(end - start))
            more = lambda left=left: next(left, None) is not None  # noqa: E731
            asyncio.run(load(server, requests, clients, more, answers))
            print(f"| {end} | {server.memory():.0f} | {answers.errors} |", flush=True)
            whole &= not answers.errors
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="exported models")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each line")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--requests", type=int, help="memory over so many requests")
    parser.add_argument("--faults", action="store_true", help="faults under load")
    parser.add_argument("--flags", default="", help="of the server: --flags='--x 1'")
    options = parser.parse_args()
    flags = options.flags.split()
    if options.faults:
        done = faults(options.folder, max(options.clients), flags)
    elif options.requests:
        done = memory(options.folder, options.requests, max(options.clients), flags)
    else:
        done = speed(options.folder, options.seconds, options.clients, flags)
    sys.exit(not done)


if __name__ == "__main__":
    main()
