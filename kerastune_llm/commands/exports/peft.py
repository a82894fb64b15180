"""`--to peft`: the adapter alone, as PEFT opens it."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from kerastune_llm.commands.export_form import Form, ServingOptions, check_new_folder
from kerastune_llm.commands.in_pytorch import is_pefts, opening_lines
from kerastune_llm.errors import UserError
from kerastune_llm.registry import EXPORTS
from kerastune_llm.rundir import RunDir, write_text

if TYPE_CHECKING:
    from kerastune_llm.backend import keras
    from kerastune_llm.commands.job import Job

IN_PEFT = """\
in PyTorch, on the base model, which the adapter names as {base}:
{lines}"""
NOT_IN_PEFT = "PEFT has no form for {method}: only kerastune_llm opens it\n"
HERE = """\
here, to train on:
  kerastune train {task} --model {model} --adapter {folder}"""


def export_peft(
    run: RunDir,
    job: "Job",
    model: "keras.Model",
    folder: Path,
    options: ServingOptions,
) -> str:
    """The adapter alone, in PEFT's form, naming its base model as PEFT finds it.

    Args:
        run: The run directory, for messages.
        job: The run's job, for the name of the base model.
        model: The run's model with the adapter on it.
        folder: Where to.
        options: None of them are for this form.

    Returns:
        What opens the folder, in PyTorch and here.

    Raises:
        UserError: The run has no adapter, or its base model is nowhere on disk.
    """
    from kerastune_llm.commands.model_card import Place, saved_card
    from kerastune_llm.methods.peft_format import save_adapter
    from kerastune_llm.models.sources import model_name

    _check(run, job, folder)
    base = model_name(job.config.model)
    save_adapter(model, folder, base_model=base, method=job.method)
    place = Place(folder.name, str(folder), "adapter")
    write_text(folder / "README.md", saved_card(run, job, place))
    return _what_next(job, base, folder)


def _check(run: RunDir, job: "Job", folder: Path) -> None:
    whole = f"kerastune export {run.place} --to transformers {folder}"
    if not run.adapter.is_dir():
        raise UserError(
            f"This run has no adapter: {job.config.method.name} trained weights of the "
            "model itself.",
            accepted="a run of a method that adds layers, such as --method lora",
            received=str(run.place),
            mend=f"{whole} writes the whole model",
        )
    if job.config.from_scratch:
        raise UserError(
            "The adapter's base model has random weights, which are in no file, so "
            "PEFT could not find them.",
            accepted="a run on a checkpoint",
            received=f"{run.place}, trained with --from-scratch",
            mend=f"{whole} writes the whole model, the adapter merged",
        )


def _what_next(job: "Job", base: str, folder: Path) -> str:
    in_pytorch = IN_PEFT if is_pefts(job) else NOT_IN_PEFT
    return (in_pytorch + HERE).format(
        lines=textwrap.indent(opening_lines(job, folder, base=base), "  "),
        base=base,
        folder=folder,
        method=job.config.method.name,
        task=job.task.name,
        model=job.config.model,
    )


EXPORTS.register("peft")(
    Form("The adapter alone, in PEFT's form.", export_peft, check_new_folder)
)
