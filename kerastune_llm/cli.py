"""The command line: argv -> RunConfig -> one function call per verb.

Nothing here imports TensorFlow: `--help` and a wrong flag answer at once.
"""

import gc
import os
import sys
from collections.abc import Sequence

from kerastune_llm.arguments import make_parser
from kerastune_llm.errors import NO_ROOM, JobFailed, UserError
from kerastune_llm.flag_names import unknown_flag
from kerastune_llm.verbs.verb import run_verb

EXIT_FAILURE = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 2 wrong input, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        collect_less_often()
    try:
        return _run(arguments)
    except UserError as error:
        print(f"kerastune: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except JobFailed as error:
        print(f"kerastune: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        print("kerastune: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output (`| head`) has read enough; the interpreter's own
        # last flush would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        place = f" ({error.filename})" if error.filename else ""
        print(
            f"kerastune: no room left on the disk: {error.strerror}{place}. What was "
            "saved before is whole.\n"
            "  To mend it: free some space, or another --output",
            file=sys.stderr,
        )
        return EXIT_USER_ERROR


def collect_less_often() -> None:
    """Look for unreachable cycles after 10,000 new objects, not after 700.

    What is imported and traced at the start are hundreds of thousands of objects that
    stay: going through them again and again took more than a second. For a process
    that is the command's own, not for one that others import the package into.
    """
    gc.set_threshold(10_000)


def _run(arguments: list[str]) -> int:
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    parser, known = make_parser(chosen)
    options, unknown = parser.parse_known_args(arguments)
    if options.verb is None:
        parser.print_help()
        return 0
    return run_verb(options, _unknown_arguments(unknown, known))


def _unknown_arguments(unknown: list[str], known: tuple[str, ...]) -> list[UserError]:
    """The errors for what argparse left over: flags, and words without a flag."""
    problems, values_may_follow = [], False
    for argument in unknown:
        if argument.startswith("-"):
            problems.append(unknown_flag(argument.partition("=")[0], known))
            values_may_follow = True
        elif not values_may_follow:
            problems.append(UserError("One argument too many.", received=argument))
    return problems


if __name__ == "__main__":
    sys.exit(main())
