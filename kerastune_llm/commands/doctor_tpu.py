"""What of a configuration would not run on a TPU, found without one."""

from collections.abc import Iterator, Mapping

from kerastune_llm.backend import keras, tf
from kerastune_llm.commands.finding import Finding
from kerastune_llm.commands.job import (
    Job,
    assemble,
    with_bundled_settings,
    with_learning_rate,
)
from kerastune_llm.commands.tpu_settings import REPLICAS, for_tpu, tpu_misfits
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.method import StagedMethod
from kerastune_llm.models.generation import Generator
from kerastune_llm.models.loading import load_model
from kerastune_llm.training.counts import COUNTED
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.precision import computing_in
from kerastune_llm.training.static_steps import static_steps
from kerastune_llm.training.step import compile_model
from kerastune_llm.training.tpu import find_tpu
from kerastune_llm.training.xla_check import check_for_tpu

Specs = dict[str, tf.TensorSpec]


def check_tpu(config: RunConfig) -> Iterator[Finding]:
    """Findings about a configuration on a TPU.

    The steps that it trains, scores and generates with are traced at the shapes that
    one of eight cores would have, and compiled for XLA; none of them is run. The model
    has random weights: only its configuration and its tokenizer are read.
    """
    yield _own_tpu()
    yield from _what_changes(config)
    try:
        config = with_learning_rate(with_bundled_settings(for_tpu(config)))
        misfits = list(tpu_misfits(config))
        yield from (Finding("problem", str(error)) for error in misfits)
        yield from _slow(config)
        yield from _steps(assemble(_mended(config)))
    except UserError as error:
        yield Finding("problem", str(error))


def _mended(config: RunConfig) -> RunConfig:
    """The configuration as it would be once what does not fit is mended."""
    changes = {
        "data": {"batching": "fixed"},
        "runtime": {"jit": False, "gradient_checkpointing": False},
        "optim": {},
    }
    if config.runtime.precision == "mixed_float16":
        changes["runtime"]["precision"] = "mixed_bfloat16"
    if config.optim.accumulate_steps == "auto":
        changes["optim"]["accumulate_steps"] = 1
    return config.updated(changes)


def _own_tpu() -> Finding:
    address = find_tpu()
    if address is None:
        return Finding("note", "there is no TPU here: the steps are compiled for XLA")
    return Finding("ok", f"TPU {address}")


def _what_changes(config: RunConfig) -> Iterator[Finding]:
    if "batching" not in config.data.model_fields_set:
        yield Finding(
            "note",
            "on a TPU rows are padded to one length, as by --data.batching fixed",
        )
    if "precision" not in config.runtime.model_fields_set:
        yield Finding("note", "on a TPU the precision is mixed_bfloat16")


def _slow(config: RunConfig) -> Iterator[Finding]:
    if config.runtime.steps_per_execution in (None, 1):
        yield Finding(
            "warning",
            "the TPU waits for its host after every update",
            "--runtime.steps-per-execution 32",
        )
    if config.data.streaming:
        yield Finding(
            "note", "streamed rows are tokenised on the host, while it trains"
        )
    if config.runtime.trunk_cache:
        yield Finding(
            "note", "the trunk's outputs are read on the host, batch by batch"
        )


def _steps(job: Job) -> Iterator[Finding]:
    method = job.method
    if isinstance(method, StagedMethod):
        yield Finding(
            "warning",
            f"the method {job.config.method.name} compiles the training step anew at "
            "each stage",
            "a larger --method.every, or another method",
        )
    with computing_in(job.config.runtime.precision, job.model_config.model_type):
        yield from _checked(job, _model(job))


def _model(job: Job) -> keras.Model:
    config = job.config
    model = load_model(
        config.model,
        kind=job.model_kind,
        labels=job.task.labels or None,
        from_scratch=True,
        seed=config.runtime.seed,
    )
    apply_method(model, job.method, tokenizer=job.tokenizer)
    optim = config.optim
    optimizer = build_optimizer(
        optim.name,
        learning_rate=optim.learning_rate,
        weight_decay=optim.weight_decay,
        clip_norm=optim.clip_norm,
        use_fused=False,  # As on several replicas.
    )
    compile_model(model, optimizer, accumulate_steps=optim.accumulate_steps)
    return model


def _checked(job: Job, model: keras.Model) -> Iterator[Finding]:
    optim, evaluation = job.config.optim, job.config.evaluation
    training = _specs(job, model, _rows(optim.batch_size))
    scored = _specs(job, model, _rows(evaluation.batch_size))
    inputs = {n: s for n, s in scored.items() if n not in ("labels", COUNTED)}
    prompt = scored["input_ids"]
    arguments = {"train": (training,), "evaluate": (scored,), "logits": (inputs,)}
    steps = static_steps(
        model,
        accumulate_steps=min(optim.accumulate_steps, _rows(optim.batch_size)),
        generators=_generators(job, model),
    )
    for name, step in steps.items():
        check = check_for_tpu(step, *arguments.get(name, (prompt, prompt)))
        if check.compiles:
            yield Finding("ok", f"{name}: {check.ops:,} operations, compiled whole")
        for obstacle in check.obstacles:
            yield Finding("problem", f"{name}: {obstacle}")


def _generators(job: Job, model: keras.Model) -> Mapping[str, Generator] | None:
    if not job.as_text:
        return None
    evaluation = job.config.evaluation
    beams = evaluation.num_beams
    name = "generate" if beams == 1 else f"generate with {beams} beams"
    generator = Generator(
        model,
        max_new_tokens=evaluation.max_new_tokens or job.max_target_tokens,
        num_beams=beams,
        batch_size=_rows(evaluation.batch_size),
        max_input_tokens=job.max_input_tokens,
    )
    return {name: generator}


def _rows(batch_size: int) -> int:
    """Rows of a batch that one core has."""
    return max(1, batch_size // REPLICAS)


def _specs(job: Job, model: keras.Model, rows: int) -> Specs:
    """A batch of fixed shapes, as training and scoring get it."""
    ids = tf.TensorSpec([rows, job.max_input_tokens], tf.int32)
    names = ["input_ids", "attention_mask"]
    if "token_type_ids" in job.tokenizer.model_input_names:
        names.append("token_type_ids")
    specs = dict.fromkeys(names, ids)
    specs[COUNTED] = tf.TensorSpec([rows], tf.int32)
    if job.as_text:
        specs["labels"] = tf.TensorSpec([rows, job.max_target_tokens], tf.int32)
    elif job.task.kind == "multilabel":
        labels = model.config.num_labels
        specs["labels"] = tf.TensorSpec([rows, labels], tf.float32)
    else:
        is_number = job.task.kind == "regression"
        dtype = tf.float32 if is_number else tf.int32
        specs["labels"] = tf.TensorSpec([rows], dtype)
    return specs
