"""Long texts cut for people to read."""

MOST = 600


def cut_text(text: str, most: int = MOST) -> str:
    """The text, or its beginning and how much is left out.

    Args:
        text: Any text.
        most: Characters that are kept.

    Example:
    >>> cut_text("a very long text", most=6)
    'a very… (10 characters more)'
    """
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most:,} characters more)"
