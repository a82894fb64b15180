"""`--to transformers`: the whole model, as PyTorch's transformers opens it."""

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from kerastune_llm.commands.export_form import Form, ServingOptions, check_new_folder
from kerastune_llm.commands.in_pytorch import opening_lines
from kerastune_llm.errors import UserError
from kerastune_llm.registry import EXPORTS
from kerastune_llm.rundir import RunDir, write_json, write_text

if TYPE_CHECKING:
    from kerastune_llm.backend import keras
    from kerastune_llm.commands.job import Job

WHAT_NEXT = """\
in PyTorch:
{in_pytorch}here, to train on:
  kerastune train {task} --model {folder}"""


def export_transformers(
    run: RunDir,
    job: "Job",
    model: "keras.Model",
    folder: Path,
    options: ServingOptions,
) -> str:
    """The whole model in PyTorch's layout, with its tokenizer; an adapter is merged.

    Args:
        run: The run directory, for messages.
        job: The run's job, for the tokenizer.
        model: The run's model; an adapter on it is merged into it.
        folder: Where to.
        options: None of them are for this form.

    Returns:
        What opens the folder, in PyTorch and here.

    Raises:
        UserError: The run's method cannot be merged, or the place cannot be written.
    """
    from kerastune_llm.commands.model_card import Place, saved_card
    from kerastune_llm.methods.merge import merge_delta
    from kerastune_llm.models.checkpoint import save_model
    from kerastune_llm.models.delta_layers import delta_layers

    if delta_layers(model):
        try:
            merge_delta(model)
        except UserError as error:
            raise _not_whole(run, job, folder) from error
    save_model(model, job.tokenizer, folder)
    _keep_first_spaces(folder, job.tokenizer.model_input_names)
    place = Place(folder.name, str(folder), "whole")
    write_text(folder / "README.md", saved_card(run, job, place))
    in_pytorch = textwrap.indent(opening_lines(job, folder), "  ")
    return WHAT_NEXT.format(in_pytorch=in_pytorch, folder=folder, task=job.task.name)


def _keep_first_spaces(folder: Path, input_names: list[str]) -> None:
    """Have transformers 5 cut the first word into the pieces the model was trained on.

    Its T5Tokenizer always puts a space before the first word; a tokenizer of version 4
    with `legacy=False`, such as the starter's, never does. Under the general class
    both versions go by tokenizer.json, and have to be told what the model takes.
    """
    file, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if not file.is_file():
        return
    pre_tokenizer = json.loads(file.read_text(encoding="utf-8"))["pre_tokenizer"] or {}
    if pre_tokenizer.get("prepend_scheme") == "never":
        values = json.loads(settings.read_text(encoding="utf-8"))
        values["tokenizer_class"] = "PreTrainedTokenizerFast"
        write_json(settings, values | {"model_input_names": input_names})


def _not_whole(run: RunDir, job: "Job", folder: Path) -> UserError:
    return UserError(
        f"The change that {job.config.method.name} makes is none of the model's own "
        "weights, so it cannot be merged into them.",
        accepted="a run of full, head, lora, dora, ia3 and others that merge",
        received=str(run.place),
        mend=f"kerastune export {run.place} --to peft {folder} "
        "writes the adapter alone",
    )


EXPORTS.register("transformers")(
    Form(
        "The whole model in PyTorch's layout, with its tokenizer; an adapter is "
        "merged.",
        export_transformers,
        check_new_folder,
    )
)
