"""`kerastune bench`: how fast a configuration trains here, and what limits it."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastune_llm.backend import keras, tf
from kerastune_llm.commands.auto_batch import with_fitting_parts
from kerastune_llm.commands.bench_figures import Figures, Limit, advise, find_limit
from kerastune_llm.commands.child_process import own_peak_memory
from kerastune_llm.commands.console import console, logging_to, progress, show_table
from kerastune_llm.commands.fitting import (
    compiled_model,
    epoch_report,
    planned_steps,
    training_batches,
)
from kerastune_llm.commands.job import Job, packing_misfits
from kerastune_llm.commands.loaded_job import loaded_job
from kerastune_llm.commands.output_file import check_form, check_new, writing
from kerastune_llm.commands.parameters import show_parameters
from kerastune_llm.commands.splits import Split, StreamedSplit
from kerastune_llm.commands.starting_adapter import with_method_of_adapter
from kerastune_llm.commands.tpu_settings import with_settings
from kerastune_llm.commands.trunk import lasting_cut, wanted_trunk
from kerastune_llm.config import RunConfig, merge
from kerastune_llm.data.batching import WINDOW
from kerastune_llm.errors import UserError
from kerastune_llm.methods.method import make_method
from kerastune_llm.models.flops import step_work
from kerastune_llm.rundir import write_json
from kerastune_llm.training.strategy import get_strategy
from kerastune_llm.training.throughput import (
    Timing,
    matrix_flops,
    time_steps,
    update_seconds,
)
from kerastune_llm.training.trunk_outputs import TrunkOutputs

WARM_UP = 3
GIB = 2**30


@dataclass(frozen=True)
class _Measured:
    """What was timed; the peak is that of training alone."""

    timing: Timing
    peak_memory: int
    trunk_seconds: float
    update: float


def bench(
    config: RunConfig | Mapping[str, Any],
    *,
    steps: int = 30,
    output: Path | None = None,
    began: float | None = None,
) -> Figures:
    """Train some steps of a run, print how fast they were and why, and return it.

    The model is one in memory, and no run directory is written.

    Args:
        config: A RunConfig, or its nested values.
        steps: Updates that are timed, after the warm-up.
        output: A new json file for the figures.
        began: `time.perf_counter()` at the command; default: now.

    Raises:
        UserError: Something is wrong with the configuration, the data or the file.
    """
    began = time.perf_counter() if began is None else began
    if not isinstance(config, RunConfig):
        config = RunConfig.parse(config)
    if output is not None:
        check_form(output, ["json"], "Figures")
        check_new(output)
    config = with_method_of_adapter(_on_one_device(config))
    with logging_to(None):
        strategy = get_strategy(config.runtime.strategy)
        with loaded_job(with_settings(config, strategy)) as (job, training, _):
            job = with_fitting_parts(job, strategy)
            figures = _measure(job, training, strategy, steps=steps, began=began)
    _show(figures)
    if output is not None:
        with writing(output):
            write_json(output, asdict(figures))
        console.print(f"wrote {output}", markup=False)
    return figures


def _on_one_device(config: RunConfig) -> RunConfig:
    strategy = config.runtime.strategy
    if strategy not in ("auto", "one"):
        raise UserError(
            "bench times one device: what it counts is one device's.",
            received=f"--runtime.strategy {strategy}",
            mend="--runtime.strategy one",
        )
    # What was not given stays so: the settings of a bundled model go by that.
    return RunConfig.parse(merge(config.given(), {"runtime": {"strategy": "one"}}))


def _measure(
    job: Job,
    training: Split | StreamedSplit,
    strategy: tf.distribute.Strategy,
    *,
    steps: int,
    began: float,
) -> Figures:
    method = make_method(job.config.method.name, job.config.method.options)
    total = planned_steps(job.config, training.count).total
    model, parameters = compiled_model(job, method, training, total, strategy=strategy)
    show_parameters(parameters)
    trunk = wanted_trunk(job, model)
    measured = _timed(job, model, training, trunk, steps)
    work, timing = step_work(model, trunk and trunk.cut), measured.timing
    flops = float(np.mean([work.flops(*step.shape) for step in timing.steps]))
    matrix = matrix_flops()
    count, seconds = len(timing.steps), timing.seconds
    utilisation = flops * count / seconds / matrix
    saved = utilisation * (1 - matrix / matrix_flops("bfloat16"))
    input_share = timing.wait / seconds
    optimizer_share = min(count * measured.update / seconds, 1 - input_share)
    limit, shares = find_limit(
        input_share=input_share, optimizer_share=optimizer_share, padding=timing.padding
    )
    shapes = {step.shape for step in timing.steps}
    report = epoch_report(job, training)
    return Figures(
        steps=count,
        examples_per_second=timing.examples / seconds,
        tokens_per_second=timing.tokens / seconds,
        seconds_per_step=seconds / count,
        seconds_to_first_step=timing.first_step - began,
        peak_memory=measured.peak_memory,
        parameters=parameters.total,
        trainable=parameters.trainable,
        padding=timing.padding,
        shapes=len(shapes) if report is None else report.shapes,
        input_share=input_share,
        optimizer_share=optimizer_share,
        compute_share=1 - input_share - optimizer_share,
        flops_per_step=flops,
        matrix_flops=matrix,
        utilisation=utilisation,
        trunk_seconds=measured.trunk_seconds,
        limit=limit,
        advice=_advice(job, model, trunk, shares, saved_in_16_bits=saved),
    )


def _advice(
    job: Job,
    model: keras.Model,
    trunk: TrunkOutputs | None,
    shares: dict[Limit, float],
    *,
    saved_in_16_bits: float,
) -> tuple[str, ...]:
    return advise(
        job.config,
        shares,
        can_pack=_can_pack(job),
        has_idle_trunk=lasting_cut(job, model) is not None,
        keeps_trunk=trunk is not None,
        saved_in_16_bits=saved_in_16_bits,
    )


def _can_pack(job: Job) -> bool:
    packed = job.config.updated({"data": {"batching": "pack"}})
    return job.as_text and not any(packing_misfits(packed, job.model_config))


def _timed(
    job: Job,
    model: keras.Model,
    training: Split | StreamedSplit,
    trunk: TrunkOutputs | None,
    steps: int,
) -> _Measured:
    total, rows = WARM_UP + steps, training.count
    if trunk is not None:
        # A trunk's outputs for all rows may take longer than anything else here.
        training = _some(training, max(total, WINDOW) * job.config.optim.batch_size)
    began = time.perf_counter()
    batches = training_batches(job, training, trunk, steps=total)
    made = time.perf_counter() - began
    trunk_seconds = 0.0 if trunk is None else made * rows / training.count
    with progress("updates") as on_step:
        timing = time_steps(
            model, batches, warm_up=WARM_UP, steps=steps, on_step=on_step
        )
    # Before the update is timed alone, which takes gradients of its own.
    peak = own_peak_memory()
    return _Measured(timing, peak, trunk_seconds, update_seconds(model))


def _some(training: Split, count: int) -> Split:
    """As many rows, chosen at random, or all where there are not more."""
    if count >= training.count:
        return training
    chosen = np.random.default_rng(0).choice(training.count, count, replace=False)
    return replace(training, tokenised=training.tokenised.select(np.sort(chosen)))


def _show(figures: Figures) -> None:
    rows = {
        "examples a second": f"{figures.examples_per_second:.1f}",
        "tokens a second, without padding": f"{figures.tokens_per_second:,.0f}",
        "seconds a step": f"{figures.seconds_per_step:.3f}",
        "seconds to the first step": f"{figures.seconds_to_first_step:.1f}",
        "peak memory": f"{figures.peak_memory / GIB:.2f} GiB",
        "padding": _percent(figures.padding),
        "shapes in an epoch": f"{figures.shapes:,}",
        "matrix products a step": f"{figures.flops_per_step / 1e9:.1f} GFLOP",
        "a large product here": f"{figures.matrix_flops / 1e9:.0f} GFLOP/s",
        "utilisation of it": _percent(figures.utilisation),
        "waiting for input": _percent(figures.input_share),
        "forward and backward": _percent(figures.compute_share),
        "optimizer's update": _percent(figures.optimizer_share),
    }
    if figures.trunk_seconds:
        name = "frozen trunk, once for all rows"
        rows[name] = f"about {figures.trunk_seconds:.0f} s"
    title = f"{figures.steps} updates after {WARM_UP} of warm-up"
    show_table(title, ["", "measured"], rows.items())
    console.print(f"limited by: {figures.limit}")
    for flag in figures.advice:
        console.print(f"  would help: {flag}", markup=False)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
