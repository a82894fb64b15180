"""How a run's model is opened in PyTorch: which class, which arguments, which lines."""

from pathlib import Path
from typing import TYPE_CHECKING

from kerastune_llm.methods.forms import form_of
from kerastune_llm.methods.method import DeltaMethod

if TYPE_CHECKING:
    from kerastune_llm.commands.job import Job

WHOLE = """\
from transformers import {automatic}, AutoTokenizer
model = {automatic}.from_pretrained("{place}")
tokenizer = AutoTokenizer.from_pretrained("{place}")
"""
ADAPTER = """\
from peft import PeftModel
from transformers import {automatic}
base = {automatic}.from_pretrained("{base}"{labels})
model = PeftModel.from_pretrained(base, "{place}")
"""


def automatic_class(job: "Job") -> str:
    """The class of PyTorch's transformers that opens the job's model."""
    return (
        "AutoModelForSeq2SeqLM" if job.as_text else "AutoModelForSequenceClassification"
    )


def labels_argument(job: "Job") -> str:
    """What goes behind a base model's name, so that it gets the head of the job."""
    return "" if job.as_text else f", num_labels={max(1, len(job.task.labels))}"


def is_pefts(job: "Job") -> bool:
    """Whether PEFT has a form for what the job's method trains."""
    method = type(job.method)
    return issubclass(method, DeltaMethod) and form_of(method).is_pefts


def opening_lines(job: "Job", place: str | Path, *, base: str | None = None) -> str:
    """The Python lines that open a folder or a repository in PyTorch.

    Args:
        job: The run's job.
        place: A whole model in PyTorch's layout, or an adapter.
        base: For an adapter: the name or folder of the model under it.
    """
    template = WHOLE if base is None else ADAPTER
    return template.format(
        automatic=automatic_class(job),
        labels=labels_argument(job),
        place=place,
        base=base,
    )
