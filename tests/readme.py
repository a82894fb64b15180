"""What README.md holds: its code blocks, and its shell lines as commands."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
LANGUAGES = {"sh", "python", "text"}


@dataclass(frozen=True)
class Command:
    """One line of a shell, without its quotes and its remark.

    Args:
        words: The program and its arguments.
        stdin: What a first command's `echo TEXT |` pipes in.
        output: The file that `> FILE` writes.
    """

    words: tuple[str, ...]
    stdin: str | None = None
    output: str | None = None

    def __str__(self) -> str:
        piped = () if self.stdin is None else ("echo", self.stdin.rstrip("\n"))
        line = " | ".join(map(shlex.join, filter(None, (piped, self.words))))
        return line if self.output is None else f"{line} > {shlex.quote(self.output)}"


def parse(line: str) -> Command:
    """A line of `sh` as a command; only `echo TEXT |` and `> FILE` are known.

    >>> parse('echo "Dogs bark." | kerastune predict "a run" > out.jsonl  # remark')
    Command(words=('kerastune', 'predict', 'a run'), stdin='Dogs bark.\\n', \
output='out.jsonl')
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>")
    lexer.whitespace_split = True
    words, stdin, output = list(lexer), None, None
    if "|" in words:
        # A quoted "|" by itself would be taken for a pipe; README has none.
        (program, stdin), words = words[:2], words[3:]
        if program != "echo" or "|" in words:
            raise ValueError(f"only `echo TEXT | COMMAND` is known: {line}")
        stdin += "\n"
    if ">" in words:
        *words, _, output = words
    return Command(tuple(words), stdin, output)


def commands() -> list[Command]:
    """Every command of the `sh` blocks, in order."""
    text = "".join(body for language, body in BLOCKS if language == "sh")
    lines = text.replace("\\\n", " ").splitlines()
    return [parse(line) for line in lines if line.strip()]


def remarked_commands() -> list[Command]:
    """The commands between the lines: in backquotes, in paragraphs and tables.

    Those with `…` are not whole and are left out.
    """
    text = re.sub(r"^```.*?^```", "", TEXT, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"`(kerastune [^`]+)`", text)
    return [parse(" ".join(line.split())) for line in found if "…" not in line]
