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
class Renames:
    """A `prepare` that gives columns their usual names where a file has others.

    Args:
        names: The usual name, and what a column is called in some official file.

    Example:
    >>> Renames({"label": "gold_label"})({"gold_label": "neutral"})["label"]
    'neutral'
    """

    names: Mapping[str, str]

    def __call__(self, row: Row) -> Row:
        found = {
            name: row[source]
            for name, source in self.names.items()
            if name not in row and source in row
        }
        return {**row, **found}


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
        pair_template: Second text of a sentence pair for a head on an encoder, which
            the tokenizer joins to the first by its own separator.
        target_template: Text to be generated (`seq2seq` only). Empty: the first of
            the references, or no text where there is none.
        text_input_template: For the other kinds on a text-to-text model: the input
            there, with the label's name as the target. Empty: `input_template`, and
            after it `pair_template`.
        label_column: Column with the label: its index, or its name out of `labels`; a
            number for regression; a list, or names parted by commas, for multilabel.
        labels: Label names in index order; empty means: discovered from the data.
        label_folders: Names of folders with one text file a row, and the label each
            stands for: `{"pos": "positive"}`.
        number_step: Numbers that are written as text are rounded to multiples of it; 0
            for none.
        references_column: Column with the list of accepted answers (`seq2seq`); where
            it is absent the rendered target is the one reference.
        id_column: Column that identifies a row; where absent, rows are numbered.
        group_column: Column with what rows have in common that must not be both trained
            and validated on, such as an article; where rows are held out of a file.
        columns: Renames, from the template's name to the source's column:
            `{"question": "q"}`.
        prepare: Makes an irregular row regular (SQuAD's answer list) before rendering.
        metrics: Names in the metric register.
        best_metric: Key of the metrics' result that picks the best checkpoint.
        max_input_tokens: Length inputs are cut at, in tokens.
        max_target_tokens: Length targets are cut at, in tokens.
        hub: Dataset id on the Hugging Face hub, `None` when it has none.
        hub_config: Configuration of that dataset (`"cola"` of `nyu-mll/glue`).
        hub_splits: Names of its splits for `"train"` and `"validation"`.
        tsv_columns: Column names of the task's headerless tsv files, if it has such.
        drops_short_rows: Leave out tsv rows with missing fields, which the task's
            official file has; otherwise they are errors.
        sample: `sample(split) -> rows`, the generated set used with no data at hand.
        members: The tasks of a mixture, by name; empty for any other task.
        reference: The paper or data card.
    """

    name: str
    kind: Kind
    input_template: str
    pair_template: str = ""
    target_template: str = ""
    text_input_template: str = ""
    label_column: str = "label"
    labels: tuple[str, ...] = ()
    label_folders: Mapping[str, str] = field(default_factory=dict)
    number_step: float = 0.0
    references_column: str | None = None
    id_column: str = "id"
    group_column: str | None = None
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
    drops_short_rows: bool = False
    sample: Callable[[str], Iterable[Row]] | None = None
    members: Mapping[str, "Task"] = field(default_factory=dict)
    reference: str = ""

    @property
    def has_labels(self) -> bool:
        """Whether rows carry a label rather than a target text."""
        return self.kind != "seq2seq"

    @property
    def lacks_labels(self) -> bool:
        """Whether label names are still to be discovered from the training rows."""
        return self.kind in ("classification", "multilabel") and not self.labels

    def fields(self, *, as_text: bool) -> tuple[str, ...]:
        """Columns the input templates name, in order, for that form of the task."""
        pair = "" if as_text else self.pair_template
        return template_fields(self.template(as_text=as_text) + pair)

    def template(self, *, as_text: bool) -> str:
        """The input template for text to text, or for a head on an encoder.

        For a head there may be the `pair_template` as well.
        """
        if not as_text:
            return self.input_template
        if self.has_labels and self.text_input_template:
            return self.text_input_template
        return " ".join(filter(None, (self.input_template, self.pair_template)))


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
