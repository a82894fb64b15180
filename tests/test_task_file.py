"""A task from a Python file: `--task-file`, and every way in which it can be wrong."""

import json

import pytest

from kerastune_llm.cli import main
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from kerastune_llm.registry import TASKS
from kerastune_llm.tasks.task import get_task

TASK = """
from kerastune_llm import TASKS, Task

def shout(row):
    return {{**row, "text": row["text"].upper()}}

@TASKS.register
def {name}():
    '''Loud text.'''
    return Task(name="{name}", kind="seq2seq", input_template="say: {{text}}",
                target_template="{{text}}", prepare=shout, metrics=("exact_match",),
                best_metric="exact_match")
"""


@pytest.fixture
def registered(monkeypatch):
    """What a test registers is forgotten after it."""
    TASKS.names()
    monkeypatch.setattr(TASKS, "_entries", dict(TASKS._entries))


def write(tmp_path, text):
    file = tmp_path / "own.py"
    file.write_text(text)
    return file


def test_a_task_of_a_file_is_a_task(tmp_path, monkeypatch, registered):
    write(tmp_path, TASK.format(name="loud"))
    monkeypatch.chdir(tmp_path)
    config = RunConfig.parse({"task": "loud", "task_file": "own.py"})
    assert get_task("loud").prepare({"text": "hi"}) == {"text": "HI"}
    # The run's config.json finds the file from any folder, and reads it again.
    values = json.loads(json.dumps(config.to_values()))
    assert values["task_file"] == str(tmp_path / "own.py")
    monkeypatch.chdir("/")
    assert RunConfig.parse(values) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "own.py, line 1: ZeroDivisionError"),
        ("def f(:", "own.py, line 1: SyntaxError"),
        ("import nothing_like_it", "line 1: ModuleNotFoundError"),
        ("raise SystemExit(3)", "line 1: SystemExit"),
        ("x = 1", "registers no task"),
        (TASK.format(name="squad"), "'squad' is registered already"),
        (TASK.format(name="own").replace("kind=", "knd="), "unexpected keyword"),
        (TASK.format(name="own").replace('name="own"', 'name="x"'), "name='own'"),
    ],
)
def test_a_file_that_is_wrong(tmp_path, capsys, text, message, registered):
    file = write(tmp_path, text)
    assert main(["train", "own", "--task-file", str(file)]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_a_file_that_is_not_there(capsys):
    assert main(["train", "own", "--task-file", "absent.py"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_line_is_that_of_the_file(tmp_path, registered):
    text = "import json\n\ndef read():\n    return json.loads('{')\n\nread()\n"
    with pytest.raises(UserError, match="own.py, line 4: JSONDecodeError"):
        RunConfig.parse({"task": "x", "task_file": write(tmp_path, text)})
