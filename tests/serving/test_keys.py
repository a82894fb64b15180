"""Files of API keys: what is read, what is refused."""

import pytest

from kerastune_llm.errors import UserError
from kerastune_llm.serving.keys import read_keys


def test_one_key_a_line(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# of the laboratory\n{'a' * 16}\n\n  {'b' * 20}  \n")
    assert read_keys(file) == ("a" * 16, "b" * 20)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "has 0 keys"), ("short\n", "1 of them too short"), ("é" * 20, "be read")],
)
def test_a_file_without_keys_is_refused(content, message, tmp_path):
    file = tmp_path / "keys"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_keys(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_keys(tmp_path / "absent")
