"""The README tells the truth: its notebook example runs, its commands exist."""

import re
from pathlib import Path

import pytest

from kerastune_llm.arguments import make_parser
from kerastune_llm.registry import METHODS, VERBS
from kerastune_llm.rundir import RunDir

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    """Every `kerastune` line, continuation lines joined, remarks beside it cut."""
    text = "\n".join(body for language, body in BLOCKS if not language)
    lines = text.replace("\\\n", "").splitlines()
    return [
        re.split(r" {3,}", line)[0] for line in lines if line.startswith("kerastune")
    ]


@pytest.mark.parametrize("command", commands())
def test_flags_of_every_command_exist(command):
    # What `launch` starts is another command.
    command = command.partition(" -- ")[0]
    words = re.findall(r'"[^"]*"|\S+', command)
    parser, known = make_parser(words[1])
    given = {word for word in words if word.startswith("--")}
    assert given <= set(known)


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^make (\S+)", README, flags=re.MULTILINE))
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_method_is_in_the_table():
    for method in METHODS.names():
        assert f"| `{method}` |" in README


@pytest.mark.parametrize("verb", VERBS.names())
def test_every_verb_is_in_the_readme(verb):
    assert f"kerastune {verb}" in README


def test_run_directory_listing_names_every_file():
    run = RunDir(Path("run"))
    names = [str(path.name) for path in vars(run).values()][1:]
    for name in names:
        assert name in README or name == "adapter"


@pytest.mark.slow
def test_notebook_example_runs():
    example = next(body for language, body in BLOCKS if language == "python")
    exec(compile(example, "README.md", "exec"), {})
