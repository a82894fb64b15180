"""The script of `kerastune completion`, sourced and asked in bash itself."""

import subprocess

import pytest

from kerastune_llm.cli import main
from kerastune_llm.registry import METHODS, VERBS
from kerastune_llm.verbs.completion import completion

# Asks as bash does when Tab is pressed behind the last word.
ASK = """
source "$1"; shift
COMP_WORDS=(kerastune "$@"); COMP_CWORD=$#
_shtab_kerastune
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    script = tmp_path_factory.mktemp("completion") / "kerastune.bash"
    script.write_text(completion("bash"))

    def ask(*words: str) -> set[str]:
        done = subprocess.run(
            ["bash", "-c", ASK, "bash", str(script), *words],
            capture_output=True,
            text=True,
            check=True,
        )
        assert not done.stderr
        return set(done.stdout.split())

    return ask


def test_every_verb_is_completed(complete):
    assert complete("") >= set(VERBS.names())
    assert complete("tra") == {"train", "transfer"}


def test_flags_of_the_verb_are_completed(complete):
    assert complete("train", "--optim.learn") == {"--optim.learning-rate"}
    assert complete("push", "run", "--dry") == {"--dry-run"}
    assert complete("push", "run", "--optim.") == set()


def test_names_are_completed(complete):
    assert complete("train", "dialog") == {"dialogsum"}
    assert complete("train", "cola", "--method", "") >= set(METHODS.names())
    assert complete("train", "cola", "--optim.schedule", "cos") == {"cosine"}
    assert complete("push", "run", "--form", "") == {"whole", "adapter"}
    assert complete("completion", "z") == {"zsh"}


def test_the_command_prints_the_script(capsys):
    assert main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#compdef kerastune")
    for verb in VERBS.names():
        assert f"    {verb}:" in script


def test_another_shell_is_refused(capsys):
    assert main(["completion", "fish"]) == 2
    assert "Accepted: bash, zsh Received: fish" in capsys.readouterr().err
