"""Problems of single values, gathered over all rows into one message."""

from dataclasses import dataclass, field
from typing import Any

from kerastune_llm.errors import UserError, UserErrors


@dataclass
class ColumnError(Exception):
    """One value of one row is not what the task needs."""

    column: str
    what: str
    accepted: str | None = None
    received: object = None
    mend: str | None = None


@dataclass
class Problems:
    """The first problem of each kind with the number of rows that have it."""

    found: dict[tuple[str, str, str], list[Any]] = field(default_factory=dict)

    def add(self, table: str, place: str, error: ColumnError) -> None:
        entry = self.found.setdefault(
            (table, error.column, error.what), [place, error, 0]
        )
        entry[2] += 1

    def raise_if_any(self) -> None:
        if self.found:
            raise UserErrors(
                self._as_user_error(table, *entry)
                for (table, _, _), entry in self.found.items()
            )

    def _as_user_error(
        self, table: str, place: str, error: ColumnError, count: int
    ) -> UserError:
        also = f" ({count:,} rows are like this)" if count > 1 else ""
        return UserError(
            f"{table}, {place}, column {error.column!r}: {error.what}{also}.",
            accepted=error.accepted,
            received=error.received,
            mend=error.mend,
        )
