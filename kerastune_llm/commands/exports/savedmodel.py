"""`--to savedmodel`: text in, text out, for TensorFlow Serving."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kerastune_llm.commands.console import progress, show_table
from kerastune_llm.commands.export_form import Form, ServingOptions
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.registry import EXPORTS
from kerastune_llm.rundir import RunDir

if TYPE_CHECKING:
    from kerastune_llm.backend import keras
    from kerastune_llm.commands.job import Job
    from kerastune_llm.commands.splits import Split
    from kerastune_llm.serving.parity import Examples
    from kerastune_llm.serving.small_weights import Smaller
    from kerastune_llm.training.scoring import Scorer

logger = logging.getLogger(__name__)

COMPARED_ROWS = 200
MODELS = "models.config"
WHAT_NEXT = """\
here:
  kerastune serve {folder}
in TensorFlow Serving:
  docker run -p 8501:8501 -v {folder}:/models tensorflow/serving \\
    --model_config_file=/models/models.config
how to ask it: {folder}/{name}/{version}/README.md"""


def check_served(job: "Job", folder: Path, options: ServingOptions) -> None:
    """Refuse what cannot be served so, before the model is loaded.

    Raises:
        UserError: The place is taken, or a flag does not fit the run's model.
    """
    problems = [*_place_problems(job, folder, options), *_flag_problems(job, options)]
    if problems:
        raise UserErrors(problems)


def export_to_savedmodel(
    run: RunDir,
    job: "Job",
    model: "keras.Model",
    folder: Path,
    options: ServingOptions,
) -> str:
    """A SavedModel that takes the task's own text, as TensorFlow Serving loads it.

    Args:
        run: The run directory.
        job: The run's job: its task, tokenizer and evaluation settings.
        model: The run's model; an adapter on it is merged where it can be.
        folder: Where to: `<name>/<version>/` and models.config are made in it.
        options: Its name and version, and how it answers.

    Returns:
        What serves the folder.

    Raises:
        UserError: The exported model does not answer as this one.
    """
    from kerastune_llm.commands.job import make_scorer
    from kerastune_llm.serving.export import export_savedmodel
    from kerastune_llm.serving.graph import Service

    _merge(model)
    job = _answering(job, options)
    evaluation = job.config.evaluation
    scorer, split = make_scorer(job, model), _validation(job)
    service = Service(
        job.task,
        job.as_text,
        max_input_tokens=job.max_input_tokens,
        max_new_tokens=evaluation.max_new_tokens or job.max_target_tokens,
        num_beams=evaluation.num_beams,
        smaller=_smaller(scorer, split, options.weights or "float32"),
    )
    name = options.name or job.task.name
    version = options.version or next_version(folder / name)
    export_savedmodel(
        model,
        job.tokenizer,
        service,
        folder,
        name=name,
        version=version,
        examples=_examples(job, scorer, split),
    )
    return WHAT_NEXT.format(folder=folder.absolute(), name=name, version=version)


def next_version(model_folder: Path) -> int:
    """One above the highest version in a model's folder.

    >>> next_version(Path("none"))
    1
    """
    names = (path.name for path in model_folder.glob("*") if path.is_dir())
    return 1 + max((int(n) for n in names if n.isascii() and n.isdigit()), default=0)


def _place_problems(
    job: "Job", folder: Path, options: ServingOptions
) -> Iterator[UserError]:
    filled = folder.is_dir() and any(folder.iterdir())
    if (folder.exists() and not folder.is_dir()) or (
        filled and not (folder / MODELS).is_file()
    ):
        yield UserError(
            "The place for the export is taken.",
            accepted="a new or an empty folder, or one with exported models",
            received=str(folder),
            mend="another folder",
        )
        return
    name = options.name or job.task.name
    if options.version and (folder / name / str(options.version)).exists():
        yield UserError(
            f"Version {options.version} of {name} exists already.",
            received=str(folder / name / str(options.version)),
            mend=f"--version {next_version(folder / name)}, or leave it out",
        )


def _flag_problems(job: "Job", options: ServingOptions) -> Iterator[UserError]:
    from kerastune_llm.models.compatibility import position_limit

    generating = [f for f in options.flags if f in ("--num-beams", "--max-new-tokens")]
    if generating and not job.as_text:
        yield UserError(
            f"{', '.join(generating)}: for a model that generates text; this run's has "
            f"a head for {job.task.kind}.",
            mend="leave it out",
        )
    limit = position_limit(job.model_config, job.tokenizer)
    length = options.max_new_tokens
    if job.as_text and length and limit is not None and length > limit:
        yield UserError(
            "The model has no positions for answers this long.",
            accepted=f"at most {limit} tokens",
            received=f"--max-new-tokens {length}",
            mend=f"--max-new-tokens {limit}",
        )


def _answering(job: "Job", options: ServingOptions) -> "Job":
    """The job with the settings of generation that were asked for."""
    asked = {
        name: getattr(options, name)
        for name in ("num_beams", "max_new_tokens")
        if getattr(options, name) is not None
    }
    return replace(job, config=job.config.updated({"evaluation": asked}))


def _merge(model: "keras.Model") -> None:
    from kerastune_llm.methods.merge import merge_delta
    from kerastune_llm.models.delta_layers import delta_layers

    if delta_layers(model):
        try:
            merge_delta(model)
        except UserError as error:
            logger.info("exported with the method's own layers: %s", error)


def _validation(job: "Job") -> "Split | None":
    from kerastune_llm.commands.splits import load_validation

    try:
        return load_validation(job)
    except UserError as error:
        logger.warning("compared on made-up texts only: %s", error)
        return None


def _smaller(scorer: "Scorer", split: "Split | None", form: str) -> "Smaller | None":
    """The model's weights made small, scored before and after."""
    from kerastune_llm.serving.small_weights import Smaller, SmallWeights

    if form == "float32":
        return None
    before = _metrics(scorer, split)
    weights = SmallWeights(scorer.model.variables, form)
    after = _metrics(scorer, split)
    logger.info(
        "weights: %.1f MB as float32, %.1f MB as %s",
        weights.float32_bytes / 1e6,
        weights.stored_bytes / 1e6,
        form,
    )
    if split is not None:
        rows = [(name, value, after[name]) for name, value in before.items()]
        show_table("validation rows", ["metric", "float32", form], rows)
    return Smaller(weights, before, after)


def _metrics(scorer: "Scorer", split: "Split | None") -> dict[str, float]:
    if split is None:
        return {}
    with progress("scoring") as on_batch:
        return scorer.score(split.rows, split.tokenised, on_batch).metrics


def _examples(job: "Job", scorer: "Scorer", split: "Split | None") -> "Examples":
    """Validation rows and nasty texts, answered by the model as `predict` does it."""
    import datasets
    import numpy as np

    from kerastune_llm.data.encoding import Encoder, encode
    from kerastune_llm.serving.nasty_texts import NASTY_TEXTS
    from kerastune_llm.serving.parity import Examples

    rows = split.rows[:COMPARED_ROWS] if split is not None else {}
    fields = {
        name: [*rows.get(name, ()), *NASTY_TEXTS]
        for name in job.task.fields(as_text=job.as_text)
    }
    limits = job.max_input_tokens, job.max_target_tokens
    encoded = encode(fields, Encoder(job.task, job.tokenizer, job.as_text, *limits))
    answers = scorer.answer(datasets.Dataset.from_dict(encoded))
    values = answers.probabilities
    if job.task.kind == "regression":
        values = np.array(answers.predictions, np.float32)
    return Examples(
        fields,
        encoded["input_ids"],
        texts=answers.texts if job.as_text else None,
        values=None if job.as_text else values,
        token_type_ids=encoded.get("token_type_ids"),
    )


EXPORTS.register("savedmodel")(
    Form(
        "A SavedModel that takes the task's own text, as TensorFlow Serving loads it.",
        export_to_savedmodel,
        check_served,
    )
)
