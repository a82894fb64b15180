"""`kerastune serve`: what is refused before anything is loaded."""

import socket
import sys

import pytest

from kerastune_llm.cli import main

EXTRA = "needs the extra: pip install '.[serve]'"


def test_without_the_extra_it_says_the_command(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["serve", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "not installed: " in err and "fastapi" in err
    assert 'pip install "kerastune_llm[serve]"' in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--max-batch 0", "--max-batch must be positive"),
        ("--deadline-seconds nan", "--deadline-seconds must be positive"),
        ("--deadline-seconds inf", "--deadline-seconds must be positive"),
        ("--batch-timeout-ms -1", "--batch-timeout-ms must not be negative"),
        ("--poll-seconds nan", "--poll-seconds must not be negative"),
        ("--api-key-file absent", "API keys cannot be read"),
        ("--tls-cert absent", "TLS needs both files"),
        ("--tls-cert absent --tls-key absent", "TLS files cannot be used"),
        ("--port 99999", "no such port"),
        ("--port 0", "no exported model in this folder"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(flags, message, capsys, tmp_path):
    pytest.importorskip("fastapi", reason=EXTRA)
    pytest.importorskip("uvicorn", reason=EXTRA)
    pytest.importorskip("prometheus_client", reason=EXTRA)
    assert main(["serve", str(tmp_path), *flags.split()]) == 2
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken(capsys, tmp_path):
    pytest.importorskip("fastapi", reason=EXTRA)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", str(tmp_path), "--port", port]) == 2
    assert "another --port" in capsys.readouterr().err
