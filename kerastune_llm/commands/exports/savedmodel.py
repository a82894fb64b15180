"""`--to savedmodel`: text in, text out, for TensorFlow Serving."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from kerastune_llm.errors import UserError
from kerastune_llm.registry import EXPORTS
from kerastune_llm.rundir import RunDir

if TYPE_CHECKING:
    from kerastune_llm.backend import keras
    from kerastune_llm.commands.job import Job
    from kerastune_llm.serving.parity import Examples

logger = logging.getLogger(__name__)

COMPARED_ROWS = 200
WHAT_NEXT = """\
in a server:
  docker run -p 8501:8501 -v {folder}:/models tensorflow/serving \\
    --model_config_file=/models/models.config
how to ask it: {folder}/{name}/{version}/README.md"""


@EXPORTS.register("savedmodel")
def export_to_savedmodel(
    run: RunDir, job: "Job", model: "keras.Model", folder: Path
) -> str:
    """A SavedModel that takes the task's own text, as TensorFlow Serving loads it.

    Args:
        run: The run directory.
        job: The run's job: its task, tokenizer and evaluation settings.
        model: The run's model; an adapter on it is merged where it can be.
        folder: Where to: `<task>/<version>/` and models.config are made in it.

    Returns:
        What serves the folder.

    Raises:
        UserError: The exported model does not answer as this one.
    """
    from kerastune_llm.serving.export import export_savedmodel
    from kerastune_llm.serving.graph import Service

    _merge(model)
    evaluation = job.config.evaluation
    service = Service(
        job.task,
        job.as_text,
        max_input_tokens=job.max_input_tokens,
        max_new_tokens=evaluation.max_new_tokens or job.max_target_tokens,
        num_beams=evaluation.num_beams,
    )
    name, version = job.task.name, 1
    export_savedmodel(
        model,
        job.tokenizer,
        service,
        folder,
        name=name,
        version=version,
        examples=_examples(job, model),
    )
    return WHAT_NEXT.format(folder=folder.absolute(), name=name, version=version)


def _merge(model: "keras.Model") -> None:
    from kerastune_llm.methods.merge import merge_delta
    from kerastune_llm.models.delta_layers import delta_layers

    if delta_layers(model):
        try:
            merge_delta(model)
        except UserError as error:
            logger.info("exported with the method's own layers: %s", error)


def _examples(job: "Job", model: "keras.Model") -> "Examples":
    """Validation rows and nasty texts, answered by the model as `predict` does it."""
    import datasets
    import numpy as np

    from kerastune_llm.commands.job import make_scorer
    from kerastune_llm.data.encoding import Encoder, encode
    from kerastune_llm.serving.nasty_texts import NASTY_TEXTS
    from kerastune_llm.serving.parity import Examples

    rows = _validation_rows(job)
    fields = {
        name: [*rows.get(name, ()), *NASTY_TEXTS]
        for name in job.task.fields(as_text=job.as_text)
    }
    limits = job.max_input_tokens, job.max_target_tokens
    encoded = encode(fields, Encoder(job.task, job.tokenizer, job.as_text, *limits))
    answers = make_scorer(job, model).answer(datasets.Dataset.from_dict(encoded))
    values = answers.probabilities
    if job.task.kind == "regression":
        values = np.array(answers.predictions, np.float32)
    return Examples(
        fields,
        encoded["input_ids"],
        texts=answers.texts if job.as_text else None,
        values=None if job.as_text else values,
    )


def _validation_rows(job: "Job") -> dict[str, list[str]]:
    from kerastune_llm.commands.splits import load_validation

    try:
        rows = load_validation(job).rows
    except UserError as error:
        logger.warning("compared on made-up texts only: %s", error)
        return {}
    names = job.task.fields(as_text=job.as_text)
    return {name: list(rows[name][:COMPARED_ROWS]) for name in names}
