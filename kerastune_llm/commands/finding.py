"""What the doctor finds."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found and, where needed, what mends it."""

    level: Level
    text: str
    mend: str = ""
