"""One page on growth: speed and memory against length, batch, rows, weights and method.

    python tests/benchmarks/growth.py [--shared FOLDER] [--output growth]

Each point is a `kerastune bench` of its own, five updates after the warm-up, of a T5
with random weights: the configuration of `models/t5-mini`, wider and deeper for more
parameters. Inputs are cut at exactly the length of the point, so that nothing is
padding. One thing at a time grows, from the point in the middle that all have in
common. Writes `growth.json`, `growth.md` and `growth.png` into the output folder.

Beside what was measured is its arithmetic: the operations of a step's matrix products
(`models/flops.py`), and what `kerastune plan` says of memory. Growth is the exponent e
of the best y = c x^e; where a step takes more than its arithmetic between two points
that follow one another, by more than the machine's noise, it is marked.
"""

import argparse
import json
import math
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

REPOSITORY = Path(__file__).parents[2]
GIB = 2**30
STEPS = 5
TARGET_TOKENS = 16
# A machine that does nothing else repeats itself within this.
NOISE = 0.15
# Width and blocks of each stack: 5, 10, 23, 71 and 219 million parameters.
SIZES = {"5M": (72, 4), "10M": (128, 4), "23M": (256, 4), "71M": (512, 6)}
SIZES |= {"219M": (768, 12)}
METHODS = ("full", "lora", "bitfit", "last_n", "head")


@dataclass(frozen=True)
class Point:
    """One configuration, and what was measured of it.

    Args:
        length: Tokens of each input.
        batch: Rows of an update.
        rows: Training rows.
        size: A key of `SIZES`.
        method: The method that trains.
    """

    length: int = 128
    batch: int = 8
    rows: int = 1000
    size: str = "23M"
    method: str = "full"


BASE = Point()
AXES = {
    "input length": [replace(BASE, length=n) for n in (64, 128, 256, 512, 1024)],
    "batch": [replace(BASE, batch=n) for n in (1, 4, 8, 16, 64)],
    "rows": [replace(BASE, rows=n) for n in (1000, 5000, 20_000, 80_000)],
    "parameters": [replace(BASE, size=size) for size in SIZES],
    "method": [replace(BASE, method=method) for method in METHODS],
}
FIELDS = {"input length": "length", "batch": "batch", "rows": "rows"}


def make_model(shared: Path, work: Path, size: str) -> Path:
    """A folder with tokenizer and configuration, and no weights."""
    folder = work / size
    if not folder.is_dir():
        shutil.copytree(shared / "models" / "t5-mini", folder)
        folder.chmod(0o755)
        file = folder / "config.json"
        config = json.loads(file.read_text())
        width, blocks = SIZES[size]
        config |= {
            "d_model": width,
            "d_ff": 2 * width,
            "num_heads": width // config["d_kv"],
            "num_layers": blocks,
            "num_decoder_layers": blocks,
        }
        file.unlink()
        file.write_text(json.dumps(config))
    return folder


def make_rows(work: Path, point: Point) -> Path:
    """A file of rows, each of at least as many words as its input is to have tokens."""
    file = work / f"{point.rows}-{point.length}.jsonl"
    if not file.is_file():
        chance = random.Random(0)
        words = "river stone answer winter garden letter music bridge window north"
        with file.open("w") as lines:
            for _ in range(point.rows):
                text = " ".join(chance.choices(words.split(), k=point.length))
                target = " ".join(chance.choices(words.split(), k=TARGET_TOKENS))
                lines.write(json.dumps({"x": text, "y": target}) + "\n")
    return file


def configuration(shared: Path, work: Path, point: Point) -> dict:
    """What is run, as the nested values of a configuration file."""
    return {
        "task": {
            "name": "custom",
            "input_template": "{x}",
            "target_template": "{y}",
            "metrics": "exact_match",
        },
        "model": str(make_model(shared, work, point.size)),
        "from_scratch": True,
        "method": point.method,
        "data": {
            "train": str(make_rows(work, point)),
            "validation_fraction": 0.0,
            "max_input_tokens": point.length,
            "max_target_tokens": TARGET_TOKENS,
        },
        "optim": {"batch_size": point.batch, "learning_rate": 1e-4},
    }


def measure(shared: Path, work: Path, point: Point) -> dict:
    """The figures of a point, from a process of its own."""
    file, output = work / "point.json", work / "figures.json"
    file.write_text(json.dumps(configuration(shared, work, point)))
    output.unlink(missing_ok=True)
    command = [sys.executable, "-m", "kerastune_llm.cli", "bench", "--config", file]
    command += ["--steps", str(STEPS), "--output", output]
    # Nothing of these rows is to stay in the user's cache.
    own = {"PYTHONPATH": str(REPOSITORY), "KERASTUNE_CACHE": str(work / "cache")}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=work,
        env={**os.environ, **own, "HF_HUB_OFFLINE": "1"},
    )
    if done.returncode:
        sys.exit(f"{point} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return json.loads(output.read_text())


def planned_memory(shared: Path, work: Path, point: Point) -> int:
    """Bytes that `kerastune plan` says of a point."""
    from kerastune_llm.commands.plan import make_plan
    from kerastune_llm.config import RunConfig
    from kerastune_llm.models.model_config import load_config

    config = RunConfig.parse(configuration(shared, work, point))
    plan = make_plan(config, load_config(config.model))
    return plan.needs["float32"].total(point.batch)


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


def page(axes: dict[str, list[dict]]) -> str:
    """The page as Markdown."""
    lines = [
        "# How it grows",
        "",
        "Measured by `tests/benchmarks/growth.py`; the common point is a T5 of 23 M "
        f"parameters, inputs of {BASE.length} tokens, targets of {TARGET_TOKENS}, "
        f"batches of {BASE.batch}, {BASE.rows:,} rows, all weights trained.",
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
                panel.legend()
                panel.grid(alpha=0.3)
        above.set_title(axis)
        above.set_ylim(bottom=None if axis != "method" else 0)
    panels[0, 0].set_ylabel("examples/s")
    panels[1, 0].set_ylabel("peak memory, GiB")
    figure.savefig(file, dpi=110)


def main() -> None:
    """Measure all points, each once, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("axes", nargs="*", metavar="AXIS", help="default: all")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--output", type=Path, default=Path("growth"))
    options = parser.parse_args()
    if unknown := set(options.axes) - set(AXES):
        parser.error(f"no such axis: {min(unknown)}; there are {', '.join(AXES)}")
    chosen = {n: p for n, p in AXES.items() if not options.axes or n in options.axes}
    options.output.mkdir(parents=True, exist_ok=True)
    measured: dict[Point, dict] = {}
    axes: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for axis, points in chosen.items():
            axes[axis] = [
                figures_of(options.shared, Path(folder), point, measured)
                for point in points
            ]
            (options.output / "growth.json").write_text(json.dumps(axes, indent=2))
            (options.output / "growth.md").write_text(page(axes))
            plot(axes, options.output / "growth.png")
    print(page(axes))


def figures_of(
    shared: Path, work: Path, point: Point, measured: dict[Point, dict]
) -> dict:
    """The figures of a point, and what is planned for it, measured once."""
    if point not in measured:
        figures = measure(shared, work, point)
        print(f"{point}: {figures['examples_per_second']:.1f} examples/s", flush=True)
        # Elsewhere: TensorFlow's memory here would count as that of the next point.
        spawning = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawning) as elsewhere:
            planned = elsewhere.submit(planned_memory, shared, work, point).result()
        measured[point] = {**figures, "planned": planned, "point": asdict(point)}
    return measured[point]


if __name__ == "__main__":
    main()
