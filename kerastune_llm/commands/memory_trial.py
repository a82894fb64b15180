"""What updates of a run take in memory: made in a process of their own.

A process that runs out of memory may be killed without a word, and one that did not
does not give everything back: so not in the process of the run. What is measured holds
what a run holds: the libraries, the rows, the weights, the optimizer's states, and two
updates on the longest rows there are. Evaluations are not in it.
"""

import json
import sys
import tempfile
from pathlib import Path

import datasets

from kerastune_llm.backend import keras, tf
from kerastune_llm.commands.child_process import (
    last_message,
    own_peak_memory,
    run_process,
)
from kerastune_llm.commands.fitting import compiled_model, compiled_step
from kerastune_llm.commands.job import Job, assemble
from kerastune_llm.commands.splits import Split, load_splits
from kerastune_llm.config import RunConfig
from kerastune_llm.data.columns import is_token_column, token_column
from kerastune_llm.data.pipeline import build_dataset
from kerastune_llm.errors import JobFailed
from kerastune_llm.training.batch_fit import Fit, largest_fit
from kerastune_llm.training.precision import set_precision

_KILLED = -9


def try_parts(config: RunConfig, room: float) -> Fit | None:
    """The largest part of the configuration's batch that fits into `room` bytes.

    Raises:
        JobFailed: The updates failed by something else than memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        order, found = Path(folder, "order.json"), Path(folder, "found.jsonl")
        log = Path(folder, "log.txt")
        # Parts are the trial's own; whatever is compiled first is not run.
        changes = {"runtime": {"strategy": "one"}, "optim": {"accumulate_steps": 1}}
        values = config.updated(changes).to_values()
        order.write_text(json.dumps({"config": values, "room": room}), "utf-8")
        found.touch()
        command = [sys.executable, "-m", __name__, str(order), str(found)]
        outcome = run_process(command, log)
        fits = [Fit(**json.loads(line)) for line in found.read_text().splitlines()]
        if outcome.interrupted:
            raise KeyboardInterrupt
        if outcome.code not in (0, _KILLED):
            raise JobFailed(f"Memory could not be measured: {last_message(log)}")
    return max(
        (fit for fit in fits if fit.peak <= room), key=lambda f: f.rows, default=None
    )


def measure_parts(config: RunConfig, room: float, found: Path) -> None:
    """Try parts of the batch; what each took becomes a line of the file `found`."""
    job = assemble(config)
    set_precision(config.runtime.precision, job.model_config.model_type)
    job, training, _ = load_splits(job)
    batch_size = config.optim.batch_size
    model, _ = compiled_model(
        job, job.method, training, 2, strategy=tf.distribute.get_strategy()
    )

    def measure(rows: int) -> int:
        parts = 1 if rows == batch_size else 2
        compiled_step(model, config, parts)
        _two_updates(job, model, training, min(parts * rows, batch_size))
        fit = Fit(rows, own_peak_memory())
        with found.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(vars(fit)) + "\n")
        return fit.peak

    largest_fit(batch_size, room, measure)


def _two_updates(job: Job, model: keras.Model, training: Split, rows: int) -> None:
    batches = build_dataset(
        longest_rows(training.tokenised, rows),
        tokenizer=job.tokenizer,
        batch_size=rows,
        steps=2,
        batching=job.config.data.batching,
        max_input_tokens=job.max_input_tokens,
        max_target_tokens=job.max_target_tokens,
    )
    try:
        model.fit(batches, verbose=0)
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(str(error)) from error


def longest_rows(tokenised: datasets.Dataset, count: int) -> datasets.Dataset:
    """As many rows as there may be in a batch, of the longest input and target."""
    names = [n for n in ("input_ids", "labels") if is_token_column(tokenised, n)]
    longest = [int(token_column(tokenised, n).lengths.argmax()) for n in names]
    return tokenised.select([longest[n % len(longest)] for n in range(count)])


def main() -> None:
    order = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    config = RunConfig.parse(order["config"])
    measure_parts(config, order["room"], Path(sys.argv[2]))


if __name__ == "__main__":
    main()
