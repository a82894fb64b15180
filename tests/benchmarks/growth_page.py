"""The page of `growth.py`: its tables and its plot."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import matplotlib

GIB = 2**30
# A machine that does nothing else repeats itself within this.
NOISE = 0.15
FIELDS = {"input length": "length", "batch": "batch", "rows": "rows"}


def exponent(xs: list[float], ys: list[float]) -> float:
    """The slope of the best line through the logarithms.

    >>> round(exponent([1, 2, 4], [3, 12, 48]), 6)
    2.0
    """
    logs = [(math.log(x), math.log(y)) for x, y in zip(xs, ys, strict=True)]
    middle = sum(x for x, _ in logs) / len(logs)
    above = sum((x - middle) * y for x, y in logs)
    return above / sum((x - middle) ** 2 for x, _ in logs)


def is_worse(before: dict, after: dict) -> bool:
    """Whether a step's time grew by more than its arithmetic did, and the noise."""
    time = after["seconds_per_step"] / before["seconds_per_step"]
    work = after["flops_per_step"] / before["flops_per_step"]
    return time > (1 + NOISE) * max(work, 1.0)


def places(axis: str, points: list[dict]) -> list[float]:
    """Where the points of an axis are on it."""
    name = FIELDS.get(axis)
    return [p["point"][name] if name else p["parameters"] for p in points]


def page(axes: dict[str, list[dict]], summary: str) -> str:
    """The page as Markdown; `summary` says what was measured."""
    lines = [
        "# How it grows",
        "",
        summary,
        "",
        "![growth](growth.png)",
    ]
    growing = [
        "",
        "| what grows | step time, exponent | its arithmetic's | peak memory, exponent "
        "| its arithmetic's | worse than arithmetic |",
        "|---|---|---|---|---|---|",
    ]
    rows = [
        _growth_line(axis, points) for axis, points in axes.items() if axis != "method"
    ]
    if rows:
        lines += [*growing, *rows]
    for axis, points in axes.items():
        lines += ["", f"## {axis.capitalize()}", ""]
        lines += [
            f"| {axis} | examples/s | s a step | GFLOP a step | utilisation "
            "| update's share | peak GiB | planned GiB |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [_point_line(axis, point) for point in points]
    return "\n".join(lines) + "\n"


def _growth_line(axis: str, points: list[dict]) -> str:
    xs = places(axis, points)
    names = ("seconds_per_step", "flops_per_step", "peak_memory", "planned")
    found = [exponent(xs, [point[name] for point in points]) for name in names]
    pairs = zip(points, points[1:], strict=False)
    worse = [
        f"{x:,} to {y:,}"
        for (before, after), (x, y) in zip(
            pairs, zip(xs, xs[1:], strict=False), strict=True
        )
        if is_worse(before, after)
    ]
    cells = " | ".join(f"{value:.2f}" for value in found)
    return f"| {axis} | {cells} | {', '.join(worse) or 'nowhere'} |"


def _point_line(axis: str, point: dict) -> str:
    is_size = axis == "parameters"
    name = point["parameters"] if is_size else point["point"][FIELDS.get(axis, axis)]
    cells = [
        f"{name:,}" if isinstance(name, int) else name,
        f"{point['examples_per_second']:.1f}",
        f"{point['seconds_per_step']:.3f}",
        f"{point['flops_per_step'] / 1e9:.1f}",
        f"{100 * point['utilisation']:.0f} %",
        f"{100 * point['optimizer_share']:.0f} %",
        f"{point['peak_memory'] / GIB:.2f}",
        f"{point['planned'] / GIB:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def plot(axes: dict[str, list[dict]], file: Path) -> None:
    """Speed above, memory below, the arithmetic dotted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        2, len(axes), figsize=(18, 7), layout="tight", squeeze=False
    )
    for column, (axis, points) in enumerate(axes.items()):
        speed = [point["examples_per_second"] for point in points]
        memory = [point["peak_memory"] / GIB for point in points]
        above, below = panels[:, column]
        if axis == "method":
            names = [point["point"]["method"] for point in points]
            above.bar(names, speed)
            below.bar(names, memory)
            below.tick_params(axis="x", rotation=30)
            above.tick_params(axis="x", rotation=30)
        else:
            xs = places(axis, points)
            work = [p["flops_per_step"] / p["point"]["batch"] for p in points]
            planned = [point["planned"] / GIB for point in points]
            # Through the point that does the most work, where overhead counts least.
            ideal = [speed[-1] * work[-1] / each for each in work]
            above.loglog(xs, ideal, ":", color="gray", label="by operations")
            above.loglog(xs, speed, "o-", label="measured")
            below.loglog(xs, planned, ":", color="gray", label="planned")
            below.loglog(xs, memory, "o-", label="measured")
            for panel in (above, below):
                _dress(panel)
        above.set_title(axis)
        above.set_ylim(bottom=None if axis != "method" else 0)
    panels[0, 0].set_ylabel("examples/s")
    panels[1, 0].set_ylabel("peak memory, GiB")
    figure.savefig(file, dpi=110)


def _dress(panel: "matplotlib.axes.Axes") -> None:
    """Plain numbers, and at least a factor of four from the lowest to the highest."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = panel.get_ylim()
    if high < 4 * low:
        middle = math.sqrt(low * high)
        panel.set_ylim(middle / 2, 2 * middle)
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.legend()
    panel.grid(alpha=0.3)
