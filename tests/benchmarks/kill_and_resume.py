"""Kill runs with SIGKILL at random moments, resume them, and compare how they end.

    python tests/benchmarks/kill_and_resume.py --kills 7 --seed 0

For each configuration one run is left alone and another is killed again and again:
between steps, while a checkpoint is written, during an evaluation, while it starts.
Weights, optimizer, history, metrics, predictions and TensorBoard's curves of the two
must then be equal to the bit. Prints a Markdown table.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from kerastune_llm.config import merge
from tests.commands.runs import differing, outcome, tiny_job

CONFIGURATIONS = {
    "full": ("bert", {}),
    "lora": (
        "bert",
        {"method": {"name": "lora", "rank": 2, "dropout": 0.1}},
    ),
    "accumulation, bucketing": (
        "t5",
        {"optim": {"accumulate_steps": 4}, "data": {"batching": "bucket"}},
    ),
}
LENGTH = {"optim": {"epochs": 12}, "evaluation": {"every": 7}}
MOMENTS = ("step", "checkpoint", "evaluation", "start")


class Run:
    """A run in processes of its own, from one kill to the next."""

    def __init__(self, config: Path, output: Path) -> None:
        self.output = output
        self.command = ["train", "--config", str(config), "--output", str(output)]

    def start(self) -> subprocess.Popen:
        """The process that begins the run, or goes on with it."""
        return subprocess.Popen(
            [sys.executable, "-m", "kerastune_llm.cli", *self.command, "--resume"],
            stdout=subprocess.DEVNULL,
            stderr=(self.output.parent / f"{self.output.name}.err").open("a"),
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )

    def lines(self) -> int:
        """Records of the history."""
        history = self.output / "metrics.jsonl"
        return history.read_bytes().count(b"\n") if history.exists() else 0

    def newest(self) -> Path | None:
        """The last checkpoint."""
        return max(self.output.glob("checkpoints/step-*"), default=None)

    def is_writing(self) -> bool:
        """Whether a checkpoint is in the making."""
        return (self.output / "checkpoints" / ".writing").exists()

    def is_evaluating(self) -> bool:
        """Whether the newest checkpoint is one that an evaluation follows."""
        newest = self.newest()
        try:
            state = json.loads((newest / "state.json").read_text()) if newest else {}
        except OSError:  # removed meanwhile
            return False
        return bool(state.get("evaluation_due"))


def kill_at(run: Run, moment: str, rng: random.Random) -> str | None:
    """Start the run and kill it at such a moment; `None` if it ends before."""
    lines, newest = run.lines(), run.newest()
    process = run.start()
    goal = lines + rng.randint(1, 6)
    conditions: dict[str, Callable[[], bool]] = {
        "step": lambda: run.lines() > goal,
        "checkpoint": lambda: run.lines() > lines and run.is_writing(),
        "evaluation": lambda: run.newest() != newest and run.is_evaluating(),
        "start": lambda: True,
    }
    while process.poll() is None and not conditions[moment]():
        time.sleep(0.001)
    time.sleep(rng.uniform(0, {"checkpoint": 0.005, "start": 15}.get(moment, 0.1)))
    if process.poll() is not None:
        return None
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = run.newest()
    return (
        f"{moment}: {run.lines()} records, {found.name if found else 'no checkpoint'}"
    )


def finish(run: Run) -> None:
    """Let the run come to its end."""
    code = run.start().wait()
    if code:
        errors = run.output.parent / f"{run.output.name}.err"
        sys.exit(f"{run.output} ended with {code}:\n{errors.read_text()[-2000:]}")


def compare(name: str, folder: Path, kills: int, rng: random.Random) -> bool:
    """Print a line a kill of one configuration; whether nothing came to differ."""
    model, changes = CONFIGURATIONS[name]
    job = merge(merge(tiny_job(folder, model), LENGTH), changes)
    config = folder / "config.json"
    config.write_text(json.dumps(job), encoding="utf-8")
    alone, killed = Run(config, folder / "alone"), Run(config, folder / "killed")
    finish(alone)
    order = rng.sample(MOMENTS, len(MOMENTS))
    moments = [kill_at(killed, order[n % len(order)], rng) for n in range(kills)]
    finish(killed)
    parts = differing(outcome(alone.output), outcome(killed.output))
    verdict = f"no: {', '.join(parts)}" if parts else "yes"
    for moment in moments:
        print(f"| {name} | {moment or 'it ended before'} | {verdict} |", flush=True)
    return not parts and None not in moments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=7, help="of each configuration")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", choices=CONFIGURATIONS, help="one configuration")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    print("| configuration | killed at | equal |\n|---|---|---|", flush=True)
    is_equal = True
    for name in [options.only] if options.only else CONFIGURATIONS:
        with tempfile.TemporaryDirectory() as folder:
            is_equal &= compare(name, Path(folder), options.kills, rng)
    sys.exit(not is_equal)


if __name__ == "__main__":
    main()
