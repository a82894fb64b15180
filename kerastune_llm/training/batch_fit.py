"""The largest part of a batch that fits into memory, found by trying."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Of what is tried next against what fitted: no step is far beyond what is known.
_GROWTH = 2


@dataclass(frozen=True)
class Fit:
    """What was measured of a part.

    Args:
        rows: Of the part.
        peak: Bytes of memory at most.
    """

    rows: int
    peak: int


def part_sizes(batch_size: int) -> list[int]:
    """Rows of the largest part, for every number of parts there can be.

    >>> part_sizes(8)
    [1, 2, 3, 4, 8]
    """
    return sorted({-(-batch_size // parts) for parts in range(1, batch_size + 1)})


def largest_fit(
    batch_size: int, room: float, measure: Callable[[int], int]
) -> Fit | None:
    """The largest part that fits, or `None` where not even one row does.

    Parts are tried from the smallest up. What one more row takes is known after two of
    them, and what is foreseen not to fit is not tried.

    Args:
        batch_size: Rows of the whole batch.
        room: Bytes.
        measure: The peak in bytes with so many rows in a part; a `MemoryError` says
            that they do not fit. Peaks are those since the process began.
    """
    sizes = part_sizes(batch_size)
    fits: list[Fit] = []
    while (rows := _next(sizes, fits, room)) is not None:
        try:
            peak = measure(rows)
        except MemoryError:
            break
        if peak > room:
            break
        fits.append(Fit(rows, peak))
    return fits[-1] if fits else None


def _next(sizes: Sequence[int], fits: Sequence[Fit], room: float) -> int | None:
    """The size to try next, the largest first, or `None`."""
    if not fits:
        return sizes[0]
    last = fits[-1]
    larger = [rows for rows in sizes if rows > last.rows]
    near = [rows for rows in larger if rows <= _GROWTH * last.rows] or larger[:1]
    if len(fits) == 1:
        return near[0] if near else None
    before = fits[-2]
    a_row = (last.peak - before.peak) / (last.rows - before.rows)
    foreseen = (r for r in near if last.peak + a_row * (r - last.rows) <= room)
    return max(foreseen, default=None)
