"""The command line: argv -> RunConfig -> one function call per verb.

Nothing here imports TensorFlow: `--help` and a wrong flag answer at once.
"""

import argparse
import errno
import sys
from collections.abc import Sequence
from typing import Any

from kerastune_llm.arguments import make_parser, nested_values
from kerastune_llm.config import RunConfig, merge, read_config_file, unknown_flag
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.methods.method import make_method

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 2 wrong input, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except UserError as error:
        print(f"kerastune: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("kerastune: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
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


def _run(arguments: list[str]) -> int:
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    parser, known = make_parser(chosen)
    options, unknown = parser.parse_known_args(arguments)
    if options.verb is None:
        parser.print_help()
        return 0
    strangers = _unknown_arguments(unknown, known)
    if options.verb in ("train", "doctor"):
        return _run_with_config(options, strangers)
    if strangers:
        raise strangers[0]
    return _run_plain(options)


def _run_with_config(options: argparse.Namespace, problems: list[UserError]) -> int:
    values = nested_values(vars(options))
    if options.config is not None:
        values = merge(read_config_file(options.config), values)
    if options.verb == "doctor":
        from kerastune_llm.commands.doctor import doctor

        config = RunConfig.parse(values, tuple(problems)) if values else None
        if problems and config is None:
            raise problems[0]
        return doctor(config)
    try:
        config = RunConfig.parse(values, tuple(problems))
    except UserError as error:
        raise _with_method_problem(error, values) from None
    make_method(config.method.name, config.method.options)
    from kerastune_llm.commands.train import train

    return EXIT_INTERRUPTED if train(config).interrupted else 0


def _run_plain(options: argparse.Namespace) -> int:
    if options.verb == "list":
        from kerastune_llm.commands.list import list_names

        list_names(options.kind)
    elif options.verb == "evaluate":
        from kerastune_llm.commands.evaluate import evaluate

        changes = nested_values(
            {k: v for k, v in vars(options).items() if k != "output"}
        )
        evaluate(options.run, changes=changes, output=options.output)
    elif options.verb == "predict":
        from kerastune_llm.commands.predict import predict

        predict(options.run, options.input, options.output)
    return 0


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


def _with_method_problem(error: UserError, values: dict[str, Any]) -> UserError:
    """`error` with the method's own problem added, so both are reported at once."""
    options = dict(values.get("method", {}))
    try:
        make_method(options.pop("name", "full"), options)
    except UserError as method_error:
        problems = getattr(error, "problems", (str(error),))
        if "--method" not in " ".join(problems):
            return UserErrors([*problems, method_error])
    return error


if __name__ == "__main__":
    sys.exit(main())
