"""`kerastune serve`."""

import argparse
import math
from pathlib import Path

from kerastune_llm.errors import UserError
from kerastune_llm.registry import VERBS
from kerastune_llm.remote import as_place
from kerastune_llm.verbs.verb import Verb

MEGABYTE = 2**20


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        type=as_place,
        metavar="DIR",
        help="exported models, or a run directory, which is exported first",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8501, help="port; 0: a free one")
    parser.add_argument(
        "--max-batch", type=int, default=32, metavar="ROWS", help="most rows of a batch"
    )
    parser.add_argument(
        "--batch-timeout-ms",
        type=float,
        default=2.0,
        metavar="MS",
        help="how long a batch waits for more rows",
    )
    parser.add_argument(
        "--max-queue",
        type=int,
        default=1024,
        metavar="ROWS",
        help="rows that wait before others are sent away with 503",
    )
    parser.add_argument(
        "--max-body-mb", type=float, default=8.0, metavar="MB", help="longest body"
    )
    parser.add_argument(
        "--deadline-seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="longest time for an answer",
    )
    parser.add_argument(
        "--poll-seconds",
        type=float,
        default=2.0,
        metavar="S",
        help="how often DIR is looked at for versions that came or went; 0: never",
    )
    parser.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="keys, one a line"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="PEM file")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="PEM file")


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.serve import serve
    from kerastune_llm.serving.settings import Batching, Limits, Listening

    _check(options)
    serve(
        options.folder,
        Listening(options.host, options.port, options.tls_cert, options.tls_key),
        batching=Batching(
            options.max_batch, options.batch_timeout_ms, options.max_queue
        ),
        limits=Limits(int(options.max_body_mb * MEGABYTE), options.deadline_seconds),
        api_key_file=options.api_key_file,
        poll_seconds=options.poll_seconds,
    )
    return 0


def _check(options: argparse.Namespace) -> None:
    positive = ("max_batch", "max_queue", "max_body_mb", "deadline_seconds")
    for name in positive:
        if not 0 < getattr(options, name) < math.inf:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(
                f"{flag} must be positive.", received=getattr(options, name)
            )
    for name in ("batch_timeout_ms", "poll_seconds"):
        if not 0 <= getattr(options, name) < math.inf:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(
                f"{flag} must not be negative.", received=getattr(options, name)
            )


VERBS.register("serve")(
    Verb(
        summary="answer requests over HTTP with a run's model or exported ones",
        usage="DIR [--port PORT] [flags]",
        example="kerastune serve runs/squad --port 8501",
        add_flags=_add_flags,
        run=_run,
    )
)
