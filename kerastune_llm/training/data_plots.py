"""The picture of a task's rows: how long their inputs and targets are."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

BINS = 50
# The longest thousandth is left out, unless the limit lies there.
SHOWN = 99.9


def plot_token_lengths(
    panels: Mapping[str, tuple[Mapping[str, np.ndarray], int]], path: Path
) -> Path:
    """Draw histograms of lengths, each split by its share of rows.

    Args:
        panels: By what is measured (`"input"`): the lengths `[rows]` of each split, and
            the length they are cut at, which becomes a line.
        path: The png to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(1 + 5 * len(panels), 4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for place, (name, (splits, limit)) in zip(axes, panels.items(), strict=True):
        longest = max(np.percentile(found, SHOWN) for found in splits.values())
        is_near = limit <= 2 * longest
        end = int(max(longest, limit if is_near else 0)) + 2
        # As many lengths in each bin: uneven ones would look like a comb.
        width = -(-end // BINS)
        edges = np.arange(0, end + width, width)
        end = int(edges[-1])
        for split, found in splits.items():
            # Rows beyond the end are in the last bin.
            shares = np.full(len(found), 100 / len(found))
            clipped = np.minimum(found, end - 1)
            is_first = split == next(iter(splits))
            place.hist(
                clipped,
                edges,
                weights=shares,
                histtype="stepfilled" if is_first else "step",
                alpha=0.5 if is_first else 1.0,
                linewidth=1.5,
                label=f"{split}, {len(found):,} rows",
            )
        if is_near:
            place.axvline(limit, color="black", linestyle="--", label=f"cut at {limit}")
        place.set(xlabel=f"tokens of the {name}", ylabel="% of the rows", xlim=(0, end))
        place.legend()
    figure.savefig(path, dpi=120)
    return path
