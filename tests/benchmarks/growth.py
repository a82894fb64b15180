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

from growth_page import page, plot

sys.path.insert(0, str(Path(__file__).parents[2]))

REPOSITORY = Path(__file__).parents[2]
STEPS = 5
TARGET_TOKENS = 16
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


SUMMARY = (
    "Measured by `tests/benchmarks/growth.py`; the common point is a T5 of 23 M "
    f"parameters, inputs of {BASE.length} tokens, targets of {TARGET_TOKENS}, "
    f"batches of {BASE.batch}, {BASE.rows:,} rows, all weights trained."
)


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
            (options.output / "growth.md").write_text(page(axes, SUMMARY))
            plot(axes, options.output / "growth.png")
    print(page(axes, SUMMARY))


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
