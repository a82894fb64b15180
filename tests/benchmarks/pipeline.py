"""How fast the input pipeline is by itself: rows to token ids, token ids to batches.

    python tests/benchmarks/pipeline.py [--shared FOLDER] [--output pipeline.json]

CoLA with MiniLM's tokenizer in batches of 32, and SQuAD with a T5's (inputs up to 384
tokens, targets to 32) in batches of 8. Tokenising is timed twice in an empty cache
folder: the second time finds the first one's columns. Batches are those of
`build_dataset`, consumed as `fit` consumes them, with nothing computed from them; the
first tenth is warm-up, and the best of three passes counts, for what else the machine
does can only slow one down.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

REPOSITORY = Path(__file__).parents[2]
PASSES = 3


@dataclass(frozen=True)
class Case:
    """Rows, a tokenizer, and what batches are made of them.

    Args:
        task: Name of the task.
        file: Its training file, below the shared data.
        model: Whose tokenizer it is; a folder below the shared models, or bundled.
        as_text: Whether the answer is text.
        lengths: Input and target tokens at most.
        batch_size: Rows in a batch.
        goal: Examples a second that the pipeline is to give.
    """

    task: str
    file: str
    model: str
    as_text: bool
    lengths: tuple[int, int]
    batch_size: int
    goal: int


CASES = (
    Case("cola", "glue/CoLA/train.tsv", "minilm", False, (128, 8), 32, 20_000),
    Case("squad", "squad/train-v1.1.json", "t5-mini", True, (384, 32), 8, 8_000),
)


@dataclass(frozen=True)
class Figures:
    """What was measured of a case; rates are rows a second.

    Args:
        task: Name of the task.
        rows: In the file.
        read: Reading and checking the file.
        tokenised: Rendering, tokenising and writing the columns.
        cores: Processor seconds a second while tokenising.
        cached: Finding the same columns in the cache.
        plan_seconds: From the columns to the first batch.
        pipeline: Batches consumed.
        goal: What `pipeline` is to be.
    """

    task: str
    rows: int
    read: float
    tokenised: float
    cores: float
    cached: float
    plan_seconds: float
    pipeline: float
    goal: int


def processor_seconds() -> float:
    """Of this process and of those it has waited for."""
    return sum(os.times()[:4])


def measure(case: Case, shared: Path, cache: Path) -> Figures:
    """Read, tokenise twice, and consume batches."""
    from kerastune_llm import get_task, load_rows, load_tokenizer, tokenise

    folder = shared / "models" / case.model
    tokenizer = load_tokenizer(str(folder) if folder.is_dir() else case.model)
    task = get_task(case.task)
    began = time.perf_counter()
    rows = load_rows(task, "train", source="files", path=shared / "data" / case.file)
    read = time.perf_counter() - began
    seconds, used = [], []
    for _ in range(2):
        began, used_before = time.perf_counter(), processor_seconds()
        done = tokenise(
            rows,
            task,
            tokenizer,
            as_text=case.as_text,
            max_input_tokens=case.lengths[0],
            max_target_tokens=case.lengths[1],
            cache_dir=cache,
        )
        seconds.append(time.perf_counter() - began)
        used.append(processor_seconds() - used_before)
    passes = [consume(done.dataset, tokenizer, case.batch_size) for _ in range(PASSES)]
    return Figures(
        task=case.task,
        rows=len(rows),
        read=len(rows) / read,
        tokenised=len(rows) / seconds[0],
        cores=used[0] / seconds[0],
        cached=len(rows) / seconds[1],
        plan_seconds=min(first for first, _ in passes),
        pipeline=max(rate for _, rate in passes),
        goal=case.goal,
    )


def consume(tokenised: object, tokenizer: object, batch_size: int) -> tuple:
    """Seconds to the first batch, and the examples a second of an epoch's batches."""
    from kerastune_llm import build_dataset
    from kerastune_llm.backend import tf

    began = time.perf_counter()
    batches = iter(build_dataset(tokenised, tokenizer=tokenizer, batch_size=batch_size))
    next(batches)
    first = time.perf_counter() - began
    warm_up = len(tokenised) // batch_size // 10
    for _ in range(warm_up):
        next(batches)
    count, began = 0, time.perf_counter()
    for batch in batches:
        count += int(tf.shape(batch["input_ids"])[0])
    return first, count / (time.perf_counter() - began)


def table(results: list[Figures]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| task | rows | read /s | tokenised /s | cores busy | from the cache /s "
        "| first batch s | batches, examples/s | goal |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        lines.append(
            f"| {r.task} | {r.rows:,} | {r.read:,.0f} | {r.tokenised:,.0f} "
            f"| {r.cores:.2f} | {r.cached:,.0f} | {r.plan_seconds:.2f} "
            f"| {r.pipeline:,.0f} | {r.goal:,} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure both cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="default: both")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--output", type=Path, help="the figures as json")
    options = parser.parse_args()
    results = []
    for case in CASES:
        if options.tasks and case.task not in options.tasks:
            continue
        with tempfile.TemporaryDirectory() as cache:
            results.append(measure(case, options.shared, Path(cache)))
    print(table(results))
    if options.output:
        options.output.write_text(json.dumps([asdict(r) for r in results], indent=2))


if __name__ == "__main__":
    main()
