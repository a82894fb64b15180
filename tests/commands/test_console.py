"""What the console says, and how often."""

import logging

from kerastune_llm.commands.console import logging_to


def test_a_message_is_said_once_whatever_the_root_logger_does(capsys):
    root = logging.getLogger()
    stray = logging.StreamHandler()
    root.addHandler(stray)
    try:
        with logging_to(None):
            logging.getLogger("kerastune_llm.data").warning("one row is empty")
    finally:
        root.removeHandler(stray)
    said = capsys.readouterr()
    assert (said.out + said.err).count("one row is empty") == 1
