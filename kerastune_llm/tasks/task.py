"""The Task value: a task is text in, text or a label out, and a way to score it."""

import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kerastune_llm.registry import TASKS

Kind = Literal["seq2seq", "classification", "regression", "multilabel"]
Row = dict[str, Any]


def _unchanged(row: Row) -> Row:
    return row


@dataclass(frozen=True)
class Task:
    """A task as a value; every part of the package reads it, none changes it.

    A row becomes text by the templates, which name the row's columns in braces:
    `"question: {question} context: {context}"`. The same strings are rendered in
    training, prediction and the exported graph.

    Args:
        name: The name it is registered under.
        kind: `"seq2seq"` answers with text; the others carry a label.
        input_template: Text given to the model.
        target_template: Text to be generated (`seq2seq` only). Empty: the first of
            the references, or no text where there is none.
        text_input_template: For the other kinds on a text-to-text model: the input
            there, with the label's name as the target. Empty: `input_template`.
        label_column: Column with the label: its index, or its name out of `labels`.
        labels: Label names in index order; empty means: discovered from the data.
        references_column: Column with the list of accepted answers (`seq2seq`); where
            it is absent the rendered target is the one reference.
        id_column: Column that identifies a row; where absent, rows are numbered.
        columns: Renames, from the template's name to the source's column:
            `{"question": "q"}`.
        prepare: Makes an irregular row regular (SQuAD's answer list) before rendering.
        metrics: Names in the metric register.
        best_metric: Key of the metrics' result that picks the best checkpoint.
        max_input_tokens: Length inputs are cut at, in tokens.
        max_target_tokens: Length targets are cut at, in tokens.
        hub: Dataset id on the Hugging Face hub, `None` when it has none.
        hub_config: Configuration of that dataset (`"cola"` of `nyu-mll/glue`).
        tsv_columns: Column names of the task's headerless tsv files, if it has such.
        sample: `sample(split) -> rows`, the generated set used with no data at hand.
        reference: The paper or data card.
    """

    name: str
    kind: Kind
    input_template: str
    target_template: str = ""
    text_input_template: str = ""
    label_column: str = "label"
    labels: tuple[str, ...] = ()
    references_column: str | None = None
    id_column: str = "id"
    columns: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Row], Row] = _unchanged
    metrics: tuple[str, ...] = ()
    best_metric: str = ""
    max_input_tokens: int = 512
    max_target_tokens: int = 64
    hub: str | None = None
    hub_config: str | None = None
    hub_splits: Mapping[str, str] = field(
        default_factory=lambda: {"train": "train", "validation": "validation"}
    )
    tsv_columns: tuple[str, ...] = ()
    sample: Callable[[str], Iterable[Row]] | None = None
    reference: str = ""

    @property
    def has_labels(self) -> bool:
        """Whether rows carry a label rather than a target text."""
        return self.kind != "seq2seq"

    def fields(self, *, as_text: bool) -> tuple[str, ...]:
        """Columns the input template names, in order, for that form of the task."""
        return template_fields(self.template(as_text=as_text))

    def template(self, *, as_text: bool) -> str:
        """The input template for text to text, or for a head on an encoder."""
        if as_text and self.has_labels and self.text_input_template:
            return self.text_input_template
        return self.input_template


def template_fields(template: str) -> tuple[str, ...]:
    """Names in a template's braces, in order, each once.

    >>> template_fields("question: {question} context: {context}")
    ('question', 'context')
    """
    names = (name for _, name, _, _ in string.Formatter().parse(template) if name)
    return tuple(dict.fromkeys(names))


def render_template(template: str, row: Mapping[str, Any]) -> str:
    """The template with each name in braces replaced by the row's value.

    >>> render_template("cola sentence: {sentence}", {"sentence": "Dogs bark."})
    'cola sentence: Dogs bark.'
    """
    pieces = []
    for literal, name, _, _ in string.Formatter().parse(template):
        pieces.append(literal)
        if name is not None:
            pieces.append(str(row[name]))
    return "".join(pieces)


def template_problem(template: str) -> str:
    """What is wrong with a template, or an empty string.

    Only plain names may stand in braces, because the exported graph renders the same
    template and knows no conversions and no format codes.

    >>> template_problem("question: {question")
    "has an unbalanced brace (expected '}' before end of string)"
    """
    if not template.strip():
        return "is empty"
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        return f"has an unbalanced brace ({error})"
    for _, name, code, conversion in parts:
        if name == "":
            return "has a pair of braces with no column in it"
        if name and (code or conversion or set(".[{") & set(name)):
            return f"has more than a column's name in the braces of {name!r}"
    return "" if template_fields(template) else "names no column in braces"


def get_task(name: str) -> Task:
    """The registered task called `name`."""
    return TASKS.get(name)()
