"""A trained model on disk: whole, or as the adapter that a delta method trained."""

from pathlib import Path

from kerastune_llm.backend import keras
from kerastune_llm.commands.job import Job
from kerastune_llm.methods.method import DeltaMethod
from kerastune_llm.methods.peft_format import load_adapter, save_adapter
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.models.loading import load_model
from kerastune_llm.rundir import RunDir


def save_trained(
    model: keras.Model, job: Job, *, whole: Path, adapter: Path | None = None
) -> Path:
    """Save the whole model, or the adapter alone where the method makes one.

    Args:
        model: The model as it is.
        job: Names the base model and the method, and holds the tokenizer.
        whole: Folder of a whole model.
        adapter: Folder of an adapter; default: the same.

    Returns:
        The folder that was written.
    """
    method = job.method
    if not isinstance(method, DeltaMethod):
        save_model(model, job.tokenizer, whole)
        return whole
    folder = adapter or whole
    save_adapter(model, folder, base_model=job.config.model, method=method)
    return folder


def load_trained(run: RunDir, job: Job) -> keras.Model:
    """The run's model: read whole, or the base model with the run's adapter on it."""
    labels = job.task.labels or None
    if run.model.is_dir():
        return load_model(run.model, kind=job.model_kind, labels=labels)
    config = job.config
    model = load_model(
        config.model,
        kind=job.model_kind,
        labels=labels,
        from_scratch=config.from_scratch,
        seed=config.runtime.seed,
    )
    load_adapter(model, run.adapter)
    return model
