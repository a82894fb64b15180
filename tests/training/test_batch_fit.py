"""The largest part that fits, against memory that is a line in the rows."""

import pytest

from kerastune_llm.training.batch_fit import Fit, largest_fit, part_sizes


def tried(
    batch_size: int, room: float, *, base: int = 100, row: int = 10
) -> tuple[Fit | None, list[int]]:
    """The result, and the sizes that were measured."""
    sizes = []

    def measure(rows: int) -> int:
        sizes.append(rows)
        return base + row * rows

    return largest_fit(batch_size, room, measure), sizes


@pytest.mark.parametrize(
    ("room", "rows"),
    [(1e9, 32), (420, 32), (419, 16), (180, 8), (179, 7), (110, 1)],
)
def test_the_largest_part_that_fits_and_nothing_larger_is_run(room, rows):
    fit, sizes = tried(32, room)
    assert fit == Fit(rows, 100 + 10 * rows)
    # Two sizes are run to know what a row takes; of those that follow, none too large.
    assert all(100 + 10 * size <= room for size in sizes[2:])
    assert sizes == sorted(set(sizes))


def test_no_row_fits():
    assert tried(32, 109) == (None, [1])
    assert tried(1, 109) == (None, [1])
    assert tried(1, 110)[0] == Fit(1, 110)


def test_memory_that_runs_out_leaves_what_fitted_before():
    def measure(rows: int) -> int:
        if rows > 4:
            raise MemoryError
        return 100  # What the libraries take hides the first rows.

    assert largest_fit(64, 1e9, measure) == Fit(4, 100)


def test_every_number_of_parts_has_its_size():
    for batch_size in (1, 7, 8, 32):
        sizes = {-(-batch_size // parts) for parts in range(1, batch_size + 1)}
        assert set(part_sizes(batch_size)) == sizes
