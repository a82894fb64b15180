"""Peak memory of whole runs: parts found, blocks recomputed, precisions; in Markdown.

    python tests/benchmarks/memory_table.py LIMIT TASK --model ... [flags of train ...]

Each row is `kerastune train TASK` with the flags given and the row's own, in a process
of its own, two updates, no evaluation before the last: `peak_memory` of its
environment.json, and the parts in its config.json. LIMIT is in GiB and holds for the
rows with `auto`. With `--row NAME`, as often as you like, only some.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKPOINTING = ["--runtime.gradient-checkpointing"]
LORA = ["--method", "lora"]
ROWS = {
    "whole": [],
    "recomputed": CHECKPOINTING,
    "auto": ["auto"],
    "auto, recomputed": ["auto", *CHECKPOINTING],
    "mixed_bfloat16": ["--runtime.precision", "mixed_bfloat16"],
    "LoRA": LORA,
    "LoRA, recomputed": [*LORA, *CHECKPOINTING],
    "LoRA, mixed_bfloat16": [*LORA, "--runtime.precision", "mixed_bfloat16"],
    "LoRA, bfloat16": [*LORA, "--runtime.precision", "bfloat16"],
}
GIB = 2**30


def peak_of(flags: list[str], folder: Path) -> str:
    """A row of the table without its name."""
    command = [sys.executable, "-m", "kerastune_llm.cli", "train", *flags]
    command += ["--optim.max-steps", "2", "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["?"]
        return f"{said[0]} | | |"
    known = json.loads((folder / "environment.json").read_text("utf-8"))
    facts = known["trained"]
    config = json.loads((folder / "config.json").read_text("utf-8"))
    parts = config["optim"]["accumulate_steps"]
    rows = -(-config["optim"]["batch_size"] // parts)
    return f"{facts['peak_memory'] / GIB:.2f} | {parts} | {rows} |"


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("limit", type=float)
    parser.add_argument("task")
    parser.add_argument("--row", action="append", choices=ROWS)
    options, flags = parser.parse_known_args()
    print("| run | peak, GiB | parts | rows at a time |\n|---|---|---|---|")
    for name in options.row or ROWS:
        own = [flag for flag in ROWS[name] if flag != "auto"]
        if "auto" in ROWS[name]:
            own += ["--optim.accumulate-steps", "auto"]
            own += ["--runtime.memory-limit", str(options.limit)]
        with tempfile.TemporaryDirectory() as folder:
            result = peak_of([options.task, *flags, *own], Path(folder, "run"))
        print(f"| {name} | {result}", flush=True)


if __name__ == "__main__":
    main()
