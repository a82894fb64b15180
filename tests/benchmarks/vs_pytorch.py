"""This package against PyTorch's Trainer (and the guides' recipe) on the same work.

    make bench                       every workload
    make bench ARGS="W1 W2 --seeds 3"
    make bench ARGS="W1 --precision mixed_bfloat16"

Both sides start from one checkpoint and one file of rendered rows, with the same batch
size, lengths, epochs and schedule; each is a process of its own, and they take turns,
so a machine that slows down slows both. Tokens are counted without padding; utilisation
is the share of a large matrix product, timed in the same process, that the products of
a step reach. Writes `comparison.json` and `comparison.md`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nominal_work import NominalWork, nominal_work
from workloads import WORKLOADS, Spec, Workload, read_rows

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
SIDES = {
    "ours": (REPOSITORY / ".venv/bin/python", HERE / "side_tensorflow.py"),
    "pytorch": (REPOSITORY / ".venv-interop/bin/python", HERE / "side_pytorch.py"),
    "guide": (REPOSITORY / ".venv/bin/python", HERE / "side_guide.py"),
}


@dataclass(frozen=True)
class Measured:
    """One side's run of one workload.

    Args:
        wall: Seconds from the command to the saved model, the process's start included.
        first_step: Seconds from the command to the end of the first update.
        rate: Examples a second in steady state.
        peak: Largest resident memory of the process, GiB.
        loss: On the validation rows, after training.
        metric: Matthews correlation, for CoLA.
        matrix: FLOP/s of a large matrix product in the same process.
    """

    wall: float
    first_step: float | None
    rate: float
    peak: float
    loss: float | None
    metric: float | None
    matrix: float | None


def prepare(work: Path, shared: Path, workload: Workload, seed: int) -> Spec:
    """Checkpoint and rows of a workload, made once in `work`."""
    from kerastune_llm import load_model, load_tokenizer, save_model

    model = work / workload.task
    if not model.exists():
        if workload.task == "cola":
            made = load_model("minilm", kind="classification", labels=("0", "1"))
            save_model(made, load_tokenizer("minilm"), model)
        else:
            folder = shared / "models" / "flan-t5-small-config"
            made = load_model(folder, kind="seq2seq", from_scratch=True, seed=0)
            save_model(made, load_tokenizer(folder), model)
    files = {}
    for split in ("train", "validation"):
        limit = getattr(workload, f"{split}_rows")
        files[split] = work / f"{workload.task}-{split}-{limit}.jsonl"
        if not files[split].exists():
            write_rows(shared / "data", workload.task, split, limit, files[split])
    return Spec(workload, model, **files, output=work / "unused", seed=seed)


def write_rows(data: Path, task: str, split: str, limit: int, path: Path) -> None:
    """Rendered rows of a public file: the texts both sides tokenise."""
    from kerastune_llm import get_task, load_rows
    from kerastune_llm.data.render import render_inputs

    name = {
        ("cola", "train"): "glue/CoLA/train.tsv",
        ("cola", "validation"): "glue/CoLA/dev.tsv",
        ("squad", "train"): "squad/train-v1.1.json",
        ("squad", "validation"): "squad/dev-v1.1.json",
    }[task, split]
    value = get_task(task)
    rows = load_rows(
        value, split, source="files", path=data / name, max_rows=limit or None
    )
    texts = render_inputs(value, rows, as_text=task == "squad")
    targets = rows["target" if task == "squad" else "label"]
    with path.open("w", encoding="utf-8") as file:
        for text, target in zip(texts, targets, strict=True):
            file.write(json.dumps({"input": text, "target": target}) + "\n")


def run(side: str, spec: Spec) -> Measured:
    """Run one side in a process of its own."""
    python, script = SIDES[side]
    with tempfile.TemporaryDirectory(dir=spec.model.parent) as folder:
        here = Path(folder)
        own = Spec(
            spec.workload,
            spec.model,
            spec.train,
            spec.validation,
            here / "output",
            spec.seed,
        )
        own.write(here / "spec.json")
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            # What was tokenised for the run before is not there for this one.
            "KERASTUNE_CACHE": str(here / "cache"),
        }
        began = time.time()
        with (here / "log").open("w+") as log:
            process = subprocess.Popen(
                [python, script, here / "spec.json", here / "result.json"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                log.seek(0)
                sys.exit(
                    f"{side} failed on {spec.workload.name}:\n{log.read()[-4000:]}"
                )
        result = json.loads((here / "result.json").read_text())
    first = result.get("first_step")
    return Measured(
        wall=result["done"] - began,
        first_step=first and first - began,
        rate=result["examples_per_second"],
        peak=usage.ru_maxrss / 2**20,
        loss=result.get("loss"),
        metric=matthews(result, spec),
        matrix=result.get("matrix_flops"),
    )


def matthews(result: dict, spec: Spec) -> float | None:
    """Matthews correlation on the validation rows."""
    if "metrics" in result:
        return result["metrics"].get("matthews_correlation")
    if result.get("predictions") is None:
        return None
    from sklearn.metrics import matthews_corrcoef

    wanted = [row["target"] for row in read_rows(spec.validation)]
    return float(matthews_corrcoef(wanted, result["predictions"]))


def ratio(workload: Workload, ours: Measured, theirs: Measured) -> float:
    """How many times faster ours is, of what the workload measures."""
    if workload.measure == "whole":
        return theirs.wall / ours.wall
    return ours.rate / theirs.rate


def describe(
    workload: Workload,
    ours: list[Measured],
    theirs: list[Measured],
    work: NominalWork | None,
) -> dict:
    """The figures of a workload: medians over the runs, and the paired ratios."""
    ratios = [ratio(workload, a, b) for a, b in zip(ours, theirs, strict=True)]

    def middle(runs: list[Measured], name: str) -> float | None:
        values = [getattr(r, name) for r in runs if getattr(r, name) is not None]
        return statistics.median(values) if values else None

    def figures(runs: list[Measured]) -> dict[str, float | None]:
        found = {name: middle(runs, name) for name in Measured.__dataclass_fields__}
        found |= {"tokens": None, "utilisation": None}
        if work is not None:
            found["tokens"] = found["rate"] * work.tokens
            # Of what is kept from an earlier epoch nothing is computed in a step.
            if workload.measure == "steady" and found["matrix"]:
                share = found["rate"] * work.flops / found["matrix"]
                found["utilisation"] = 100 * share
        return found

    return {
        "workload": workload.name,
        "title": workload.title,
        "precision": workload.precision,
        "measure": workload.measure,
        "goal": workload.goal,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "ours": figures(ours),
        "theirs": figures(theirs),
        "runs": {
            "ours": [asdict(each) for each in ours],
            "theirs": [asdict(each) for each in theirs],
        },
    }


def table(results: list[dict]) -> str:
    """The results as a Markdown table, ours / theirs in each cell."""

    def pair(row: dict, name: str, form: str) -> str:
        values = (row["ours"][name], row["theirs"][name])
        return " / ".join("–" if v is None else format(v, form) for v in values)

    def spread(row: dict, name: str, form: str) -> str:
        """From the lowest to the highest of several seeds."""
        found = []
        for runs in row["runs"].values():
            values = sorted(run[name] for run in runs if run[name] is not None)
            ends = dict.fromkeys(format(v, form) for v in (*values[:1], *values[-1:]))
            found.append(" to ".join(ends) or "–")
        return " / ".join(found)

    lines = [
        "| workload | what | ratio | goal | examples/s | tokens/s | utilisation % "
        "| wall s | first step s | peak GiB | loss | Matthews |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results:
        cells = (
            row["workload"],
            f"{row['title']}, {row['precision']}",
            f"{row['ratio']:.2f} ({row['measure']})",
            f"{row['goal']:g}",
            pair(row, "rate", ".1f"),
            pair(row, "tokens", ",.0f"),
            pair(row, "utilisation", ".0f"),
            pair(row, "wall", ".0f"),
            pair(row, "first_step", ".0f"),
            pair(row, "peak", ".2f"),
            spread(row, "loss", ".4g"),
            spread(row, "metric", ".3f"),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the chosen workloads and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="W", help="default: all")
    parser.add_argument("--seeds", type=int, default=1, help="paired runs of each")
    parser.add_argument(
        "--precision",
        default="float32",
        choices=("float32", "mixed_bfloat16"),
        help="of both sides; answers alone (W7) have float32",
    )
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--output", type=Path, default=Path("bench"))
    options = parser.parse_args()
    unknown = set(options.names) - set(WORKLOADS)
    if unknown:
        parser.error(f"no workload {', '.join(unknown)}: {', '.join(WORKLOADS)}")
    options.output.mkdir(parents=True, exist_ok=True)
    results = []
    with tempfile.TemporaryDirectory(dir=options.output.resolve()) as folder:
        for name in options.names or WORKLOADS:
            workload = WORKLOADS[name]
            if workload.measure != "answers":
                workload = replace(workload, precision=options.precision)
            ours, theirs = [], []
            for seed in range(options.seeds):
                spec = prepare(Path(folder), options.shared, workload, seed)
                ours.append(run("ours", spec))
                theirs.append(run(workload.rival, spec))
                print(
                    f"{name} seed {seed}: {ratio(workload, ours[-1], theirs[-1]):.2f}"
                )
            trains = workload.measure != "answers"
            work = nominal_work(spec) if trains else None
            results.append(describe(workload, ours, theirs, work))
            text = json.dumps(results, indent=2)
            (options.output / "comparison.json").write_text(text)
            (options.output / "comparison.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
