"""Texts to sentences by rules, for work that need not be right everywhere."""

import re
from functools import lru_cache

# A mark that ends a sentence, quotes and brackets closed after it, then white space
# before anything but a small letter.
_END = re.compile(r"[.!?][\"'’”)\]]*\s+(?=[^\sa-z])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Mt|No|Jr|Sr|vs|etc|e\.g|i\.e|ca|c)|\.[A-Za-z])"
    r"\.\s+$"
)


# Passages come again, with other questions.
@lru_cache(maxsize=20_000)
def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text, without the white space between them.

    >>> sentences("Dr. Ana B. Li left. Did she? She did (at 5.30 p.m. on foot).")
    ('Dr. Ana B. Li left.', 'Did she?', 'She did (at 5.30 p.m. on foot).')
    """
    found, start = [], 0
    for match in _END.finditer(text):
        if not _ABBREVIATION.search(text, 0, match.end()):
            found.append(text[start : match.end()].strip())
            start = match.end()
    return tuple(part for part in (*found, text[start:].strip()) if part)
