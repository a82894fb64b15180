"""How values of RunConfig are written on the command line: lists, pairs, intervals."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from kerastune_llm.errors import UserError
from kerastune_llm.registry import TASKS
from kerastune_llm.remote import as_place, check_slashes


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _split_pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if any(not sign or not name.strip() or not to.strip() for name, sign, to in pairs):
        raise ValueError("must be pairs such as question=q,context=c")
    return {name.strip(): to.strip() for name, _, to in pairs}


def _interval(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[1-9]\d*[smh]|never", value):
        return value
    if str(value).isdecimal() and int(str(value)) > 0:
        return int(str(value))
    raise ValueError("must be steps (100), a time (90s, 5m, 1h) or never")


def _rates(value: object) -> object:
    words = ("proportional", "equal", "temperature")
    if value in words:
        return value
    try:
        return {name: float(rate) for name, rate in dict(_split_pairs(value)).items()}
    except (TypeError, ValueError):
        shown = ", ".join(words)
        raise ValueError(f"must be {shown}, or pairs such as squad=2,cola=1") from None


def _place(value: object) -> object:
    # Only text and paths are places; what else comes is pydantic's to refuse.
    if not isinstance(value, str):
        return value
    check_slashes(value)
    return as_place(value)


def _known_task(name: str) -> str:
    if name not in TASKS.names() and Path(name).suffix:
        raise UserError(
            "A file is not a task.",
            received=name,
            mend=f"kerastune train custom --data.train {name} "
            '--task.input-template "{COLUMN}" --task.label-column COLUMN, or '
            '--task.target-template "{COLUMN}"',
        )
    TASKS.get(name)
    return name


def named(value: object) -> object:
    """A bare name as the group it stands for.

    >>> named("cola")
    {'name': 'cola'}
    """
    return {"name": value} if isinstance(value, str) else value


Place = Annotated[Path | str, BeforeValidator(_place)]
Interval = Annotated[int | str, BeforeValidator(_interval)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]
Columns = Annotated[dict[str, str], BeforeValidator(_split_pairs)]
Rates = Annotated[str | dict[str, float], BeforeValidator(_rates)]
TaskName = Annotated[str, AfterValidator(_known_task)]
