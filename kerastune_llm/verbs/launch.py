"""`kerastune launch`."""

import argparse
import sys

from kerastune_llm.errors import UserError
from kerastune_llm.registry import VERBS
from kerastune_llm.verbs.verb import Verb

PLACES = ("slurm", "kubernetes", "tpu-vm")
LAUNCHED = ("train", "resume")


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes on this machine"
    )
    parser.add_argument(
        "--port-base",
        type=int,
        metavar="PORT",
        help="the first of their ports (default: free ones)",
    )
    parser.add_argument(
        "--print",
        dest="place",
        choices=PLACES,
        help="start nothing: write the file that runs the command elsewhere",
    )
    parser.add_argument(
        "--nodes", type=int, metavar="N", help="machines there, with --print"
    )
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- train … | -- resume RUN …",
        help="what every worker runs; --output is a folder that all can read",
    )


def _run(options: argparse.Namespace) -> int:
    command = options.command[options.command[:1] == ["--"] :]
    _check(options, command)
    if options.place:
        from kerastune_llm.commands.launch_files import launch_file

        text = launch_file(options.place, command, nodes=options.nodes or 2)
        sys.stdout.write(text)
        return 0
    from kerastune_llm.commands.launch import launch

    return launch(command, workers=options.workers, port_base=options.port_base)


def _check(options: argparse.Namespace, command: list[str]) -> None:
    if not command or command[0] not in LAUNCHED:
        raise UserError(
            "What are the workers to run?",
            accepted="-- train …, or -- resume RUN",
            received=" ".join(command) or "nothing",
            mend="kerastune launch --workers 2 -- train cola --output runs/cola",
        )
    if options.place is None:
        if options.nodes is not None:
            raise UserError("--nodes is for --print.", mend="--workers N")
        if options.workers is None or options.workers < 1:
            raise UserError(
                "How many workers?", received=options.workers, mend="--workers 2"
            )
    elif options.workers is not None or options.port_base is not None:
        raise UserError(
            "--workers and --port-base start processes here; --print starts none.",
            mend=f"--print {options.place} --nodes {options.workers or 2}",
        )
    if options.nodes is not None and options.place == "tpu-vm":
        raise UserError(
            "A TPU VM is one machine.",
            received=f"--nodes {options.nodes}",
            mend="a larger TYPE in the file, without --nodes",
        )
    if options.nodes is not None and options.nodes < 1:
        raise UserError("--nodes must be positive.", received=options.nodes)


VERBS.register("launch")(
    Verb(
        summary="train with several processes, here or on a cluster",
        usage="--workers N -- train … | resume RUN",
        example="kerastune launch --workers 2 -- train cola --output runs/cola",
        add_flags=_add_flags,
        run=_run,
    )
)
