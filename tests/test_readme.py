"""The README tells the truth: what it names exists."""

import re
from pathlib import Path

import pytest

from kerastune_llm.arguments import make_parser
from kerastune_llm.registry import METHODS, VERBS
from kerastune_llm.rundir import RunDir
from tests.readme import BLOCKS, LANGUAGES, ROOT, TEXT, commands, remarked_commands

WORDS = [command.words for command in [*commands(), *remarked_commands()]]
OURS = [words for words in WORDS if words[0] == "kerastune"]


@pytest.mark.parametrize("command", OURS, ids=" ".join)
def test_flags_of_every_command_exist(command):
    # What `launch` starts is another command.
    words = " ".join(command).partition(" -- ")[0].split()
    _, known = make_parser(words[1])
    assert {word for word in words if word.startswith("--")} <= set(known)


def test_every_block_says_what_it_is():
    assert {language for language, _ in BLOCKS} == LANGUAGES


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^make (\S+)", TEXT, flags=re.MULTILINE))
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_method_is_in_the_table():
    for method in METHODS.names():
        assert f"| `{method}` |" in TEXT


@pytest.mark.parametrize("verb", VERBS.names())
def test_every_verb_is_in_the_readme(verb):
    assert f"kerastune {verb}" in TEXT


def test_run_directory_listing_names_every_file():
    run = RunDir(Path("run"))
    paths = [path for path in vars(run).values() if isinstance(path, Path)]
    names = [path.name for path in paths if path.parent == run.path]
    assert len(names) == 11
    for name in names:
        assert name in TEXT or name == "adapter"
