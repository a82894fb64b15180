"""A command in a process of its own."""

import signal
import subprocess
import sys
import time

from kerastune_llm.commands.child_process import last_message, run_process


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_it_printed_and_how_it_ended(tmp_path):
    log = tmp_path / "logs" / "a.txt"
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    outcome = run_process(python(code), log)
    assert outcome.code == 3 and not outcome.interrupted
    assert sorted(log.read_text().split()) == ["err", "out"]


def test_the_time_and_the_peak_memory_are_its_own(tmp_path):
    """Measured from a small process, which this one, with TensorFlow in it, is not."""
    code = (
        "import sys; from pathlib import Path\n"
        "from kerastune_llm.commands.child_process import run_process\n"
        "for work in ('pass', 'b\\'x\\' * 300_000_000'):\n"
        "    outcome = run_process([sys.executable, '-c', work], Path(sys.argv[1]))\n"
        "    print(outcome.peak_memory, outcome.seconds)\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [*python(code), str(tmp_path / "log.txt")],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    elapsed = time.monotonic() - began
    small, large = (map(float, line.split()) for line in done.stdout.splitlines())
    (small_peak, small_seconds), (large_peak, large_seconds) = small, large
    assert small_peak < 100e6 < 300e6 <= large_peak < 400e6
    assert 0 < small_seconds + large_seconds <= elapsed


def test_a_signal_is_passed_on_and_waited_for(tmp_path):
    """The command interrupts its parent, as Ctrl-C would, and is interrupted by it."""
    code = (
        "import os, signal, sys\n"
        "def handle(*_): print('saving'); sys.exit(130)\n"
        "signal.signal(signal.SIGINT, handle)\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "while True: signal.pause()\n"
    )
    before = signal.getsignal(signal.SIGINT)
    outcome = run_process(python(code), tmp_path / "a.txt")
    assert outcome.code == 130 and outcome.interrupted
    assert (tmp_path / "a.txt").read_text() == "saving\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_the_last_message_of_a_command_that_failed(tmp_path):
    log = tmp_path / "a.txt"
    log.write_text("noise\nkerastune: One.\nmore noise\nkerastune: Two.\n  Mend: x\n")
    assert last_message(log) == "Two.\n  Mend: x"
    log.write_text("Traceback:\n  File\nValueError: no\n")
    assert last_message(log) == "ValueError: no"
    log.write_text("")
    assert last_message(log) == "it said nothing"
