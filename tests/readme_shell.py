"""A shell for README's commands: in this process where that is the same thing."""

import configparser
import contextlib
import io
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import distribution
from pathlib import Path

import httpx
from packaging.requirements import Requirement

from kerastune_llm.cli import main
from kerastune_llm.commands.child_process import Outcome, own_peak_memory
from tests.readme import ROOT, Command, parse
from tests.serving.running import Served, serving_process, until_ready

# `make` targets that are run; make says what the others would run (`make --dry-run`),
# and what that is of kerastune's is run.
RUN_TARGETS = {"help"}
# Of a command that fails, how much of what it said is shown.
SHOWN = 3000


class Shell:
    """Runs commands and says what was wrong: nothing where all was well.

    Servers go on until `stop`; `curl` asks the last one.

    Args:
        folder: The working directory.
        adapt: What is to be run instead of a command.
    """

    def __init__(self, folder: Path, adapt: Callable[[Command], Command]) -> None:
        self._folder = folder
        self._adapt = adapt
        self._opened = contextlib.ExitStack()
        self._servers: list[Served] = []
        self._programs = {
            "kerastune": self._kerastune,
            "make": self._make,
            "pip": self._pip,
            "curl": self._curl,
        }

    def run(self, command: Command) -> str:
        """Run a command; a program that is not known here is wrong, too."""
        program = self._programs.get(command.words[0])
        if program is None:
            return f"the test of README can run {', '.join(self._programs)} alone"
        return program(self._adapt(command))

    def stop(self) -> str:
        """End the servers, each of which must have been ready and end well."""
        problems = []
        with self._opened:
            for served in self._servers:
                with httpx.Client(base_url=served.address(), trust_env=False) as client:
                    until_ready(client)
                code = served.stop(signal.SIGTERM)
                if code != 0:
                    problems.append(f"a server ended with {code}:{tail(served.log)}")
        return "\n".join(problems)

    def _kerastune(self, command: Command) -> str:
        verb, *rest = command.words[1:]
        if verb == "serve":
            return self._serve(*rest)
        code, text = call(command)
        if command.output:
            (self._folder / command.output).write_text(text, encoding="utf-8")
        return "" if code == 0 else f"exit code {code}: {text[-SHOWN:]}"

    def _make(self, command: Command) -> str:
        target = command.words[1]
        dry = () if target in RUN_TARGETS else ("--dry-run",)
        done = subprocess.run(
            ["make", "--directory", str(ROOT), *dry, *command.words[1:]],
            capture_output=True,
            text=True,
        )
        if done.returncode or not done.stdout:
            return f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        lines = re.findall(r"^\S*bin/(kerastune .*)$", done.stdout, flags=re.MULTILINE)
        if target == "train" and not lines:
            return f"it trains nothing: {done.stdout}"
        return "\n".join(filter(None, (self.run(parse(line)) for line in lines)))

    def _pip(self, command: Command) -> str:
        """Nothing is installed: all that would be must be there already."""
        found = re.fullmatch(
            r"install (\.|kerastune_llm)\[(\w+)\]", " ".join(command.words[1:])
        )
        if found is None:
            return "only `pip install '.[EXTRA]'` is known"
        extra, setup = found[2], configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        lines = setup["options.extras_require"].get(extra, "").split("\n")
        needed = [Requirement(line) for line in lines if line]
        needed = [x for x in needed if x.marker is None or x.marker.evaluate()]
        missing = [x for x in needed if distribution(x.name).version not in x.specifier]
        return "" if needed and not missing else f"{extra}: {needed}, missing {missing}"

    def _serve(self, folder: str, *flags: str) -> str:
        log = self._folder / f"server-{len(self._servers)}.log"
        process = serving_process(self._folder / folder, log, *flags)
        self._servers.append(self._opened.enter_context(process))
        return ""

    def _curl(self, command: Command) -> str:
        address = self._servers[-1].address()
        with httpx.Client(base_url=address, trust_env=False) as client:
            until_ready(client)
        words = [re.sub(r"^http://localhost:\d+", address, x) for x in command.words]
        fail = ("--silent", "--show-error", "--fail-with-body", "--noproxy", "*")
        done = subprocess.run([*words, *fail], capture_output=True, text=True)
        if done.returncode or "predictions" not in done.stdout:
            return f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return ""


def call(command: Command) -> tuple[int, str]:
    """Exit code and output of a `kerastune` command, run in this process."""
    said = io.StringIO()
    content = io.TextIOWrapper(io.BytesIO((command.stdin or "").encode()))
    before, sys.stdin = sys.stdin, content
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(command.words[1:])
    finally:
        sys.stdin = before
    return code, said.getvalue()


def run_here(command: Sequence[str], log: Path) -> Outcome:
    """`run_process` without the process, and without the seconds that it starts in."""
    began = time.monotonic()
    code, text = call(Command(("kerastune", *command[command.index("-m") + 2 :])))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text, encoding="utf-8")
    seconds = time.monotonic() - began
    return Outcome(code, seconds, own_peak_memory(), interrupted=False)


def tail(log: Path) -> str:
    """The end of what a process said."""
    return "\n" + log.read_text(encoding="utf-8")[-SHOWN:]
