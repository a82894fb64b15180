"""`--optim.batch-size auto`, and what a run says that is out of memory."""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator

from kerastune_llm.backend import tf
from kerastune_llm.commands.job import Job
from kerastune_llm.commands.memory_limit import gib, has_gpu, memory_limit
from kerastune_llm.commands.memory_trial import try_parts
from kerastune_llm.commands.plan import make_plan
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from kerastune_llm.models.model_config import load_config
from kerastune_llm.rundir import RunDir
from kerastune_llm.training.batch_fit import Fit, part_sizes
from kerastune_llm.training.memory import KEPT_FREE

logger = logging.getLogger(__name__)


def with_fitting_parts(job: Job, strategy: tf.distribute.Strategy) -> Job:
    """The job with a number of parts where it is to be found: as few as fit.

    On a CPU the run's own updates are measured in another process, on a GPU the memory
    is estimated as `kerastune plan` does.

    Raises:
        UserError: Not even one row at a time fits.
    """
    config, replicas = job.config, strategy.num_replicas_in_sync
    if config.optim.accumulate_steps != "auto":
        return job
    if config.data.streaming:
        raise UserError(
            "--optim.batch-size auto measures the longest rows, and streamed rows are "
            "not known beforehand.",
            mend="--optim.batch-size N --optim.accumulate-steps K",
        )
    limit = memory_limit(config)
    fit = _largest_fit(config, limit, replicas)
    if fit is None:
        raise UserError(
            f"Not even one row at a time fits into {gib(limit)} GiB, a tenth left "
            "free.",
            mend=_SMALLER,
        )
    per_device = -(-config.optim.batch_size // replicas)
    parts = -(-per_device // fit.rows)
    known = "estimated" if has_gpu() else "measured on the longest rows"
    logger.info(
        "batch of %d in %d %s, %d %s at a time: %s GiB, %s, of %s GiB, a tenth left "
        "free (--optim.batch-size %d --optim.accumulate-steps %d)",
        config.optim.batch_size,
        parts,
        "part" if parts == 1 else "parts",
        fit.rows,
        "row" if fit.rows == 1 else "rows",
        gib(fit.peak),
        known,
        gib(limit),
        config.optim.batch_size,
        parts,
    )
    updated = config.updated({"optim": {"accumulate_steps": parts}})
    return dataclasses.replace(job, config=updated)


@contextlib.contextmanager
def out_of_memory_explained(
    run: RunDir, job: Job, strategy: tf.distribute.Strategy
) -> Iterator[None]:
    """Within it, running out of memory ends with the batch size that would fit.

    Raises:
        UserError: Instead of what TensorFlow or Python raises.
    """
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no more"
        config, replicas = job.config, strategy.num_replicas_in_sync
        per_device = -(-config.optim.batch_size // replicas)
        rows = -(-per_device // config.optim.accumulate_steps)
        if config.data.streaming:
            fit = Fit(rows, 0)  # Not measured; known is that these do not fit.
        else:
            fit = _largest_fit(config, memory_limit(config), replicas)
        mend = _mend(run, per_device, rows, fit)
        raise UserError(
            f"Out of memory with {rows} {'row' if rows == 1 else 'rows'} at a time: "
            f"{reason}.",
            mend=mend,
        ) from error


_SMALLER = (
    "--runtime.gradient-checkpointing, --method lora, --data.max-input-tokens N, or "
    "a smaller model"
)


def _mend(run: RunDir, per_device: int, rows: int, fit: Fit | None) -> str:
    if rows == 1 or fit is None:
        return _SMALLER
    known = f" ({gib(fit.peak)} GiB)"
    if fit.rows >= rows:
        # Room was short for another reason than these rows: half of them.
        sizes = part_sizes(per_device)
        fit, known = Fit(max(s for s in sizes if 2 * s <= max(rows, 2)), 0), ""
    return (
        f"{fit.rows} at a time{known}: kerastune resume {run.place} "
        f"--optim.accumulate-steps {-(-per_device // fit.rows)}"
    )


def _largest_fit(config: RunConfig, limit: int, replicas: int) -> Fit | None:
    room = limit * (1 - KEPT_FREE)
    if not has_gpu() and replicas == 1:
        return try_parts(config, room)
    needs = make_plan(config, load_config(config.model)).needs
    # All 16-bit precisions take the same.
    need = needs.get(config.runtime.precision, needs["mixed_bfloat16"])
    per_device = -(-config.optim.batch_size // replicas)
    most = need.largest_batch(limit)
    rows = max((size for size in part_sizes(per_device) if size <= most), default=None)
    return None if rows is None else Fit(rows, need.total(rows))
