"""What a tokenizer has that the graph does not."""


class UnsupportedTokenizer(Exception):
    """A tokenizer that cannot be rebuilt exactly; the message says what it has."""


def unsupported(part: str, value: object) -> UnsupportedTokenizer:
    """The error for one part of a tokenizer.

    >>> str(unsupported("pre-tokenizer", "ByteLevel"))
    "the tokenizer's pre-tokenizer ByteLevel has no graph form"
    """
    return UnsupportedTokenizer(f"the tokenizer's {part} {value} has no graph form")
