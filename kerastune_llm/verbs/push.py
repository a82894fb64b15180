"""`kerastune push`."""

import argparse

from kerastune_llm.registry import VERBS
from kerastune_llm.remote import as_place
from kerastune_llm.verbs.verb import Verb


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=as_place, metavar="RUN", help="finished run")
    parser.add_argument(
        "--repo",
        required=True,
        metavar="USER/NAME",
        help="repository on the hub; made where it is not there",
    )
    parser.add_argument(
        "--private",
        action="store_true",
        help="make it private; a public one is not written to",
    )
    parser.add_argument(
        "--revision", metavar="BRANCH", help="branch to write to (default: main)"
    )
    parser.add_argument(
        "--form",
        choices=("whole", "adapter"),
        metavar="whole|adapter",
        help="the model with an adapter merged, or the adapter alone (default: what "
        "the run saved)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would go, and send nothing"
    )


def _run(options: argparse.Namespace) -> int:
    from kerastune_llm.commands.push import push

    push(
        options.run,
        options.repo,
        form=options.form,
        is_private=options.private,
        revision=options.revision,
        dry_run=options.dry_run,
    )
    return 0


VERBS.register("push")(
    Verb(
        summary="upload a run's model and its card to the Hugging Face hub",
        usage="RUN --repo USER/NAME [--private] [--dry-run]",
        example="kerastune push runs/squad --repo me/t5-squad --private --dry-run",
        add_flags=_add_flags,
        run=_run,
    )
)
