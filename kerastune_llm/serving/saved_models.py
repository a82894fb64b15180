"""Exported models as a server holds them, found in `DIR/<name>/<version>/`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory

from kerastune_llm.errors import UserError
from kerastune_llm.rundir import sha256_of
from kerastune_llm.serving.export import CHECKSUMS, EXTRA, FACTS
from kerastune_llm.serving.rest import (
    DEFAULT,
    Columns,
    InputSpec,
    RequestError,
    Rows,
    as_rows,
)
from kerastune_llm.serving.shown_examples import read_examples
from kerastune_llm.serving.text_ops import tf

_GRAPH = "saved_model.pb"
_EXPORT = "kerastune export RUN --to savedmodel DIR, then kerastune serve DIR"
_DTYPES = {"DT_STRING": "string", "DT_INT32": "int32"}


@dataclass(frozen=True)
class SavedVersion:
    """One version of a model, loaded.

    Args:
        name: The name it is served under.
        version: A whole number.
        facts: What its export.json holds.
        definitions: Its signatures in TensorFlow's own JSON form, by name.
        loaded: What TensorFlow loaded.
        examples: Rows of the validation set: texts by field.
    """

    name: str
    version: int
    facts: Mapping[str, Any]
    definitions: Mapping[str, Mapping[str, Any]]
    loaded: Any
    examples: Sequence[Mapping[str, str]] = ()

    def inputs(self, signature: str) -> dict[str, InputSpec]:
        """The inputs of a signature; a RequestError with 400 when there is none."""
        if signature not in self.definitions:
            raise RequestError(
                400,
                f'Serving signature name: "{signature}" not found in signature def',
            )
        inputs = self.definitions[signature]["inputs"]
        return {name: _spec(info) for name, info in sorted(inputs.items())}

    @property
    def classifies(self) -> bool:
        """Whether it gives every label a probability."""
        outputs = self.definitions[DEFAULT]["outputs"]
        return {"labels", "probabilities"} <= set(outputs)

    def may_share(self, signature: str) -> bool:
        """Whether rows of several requests may be one batch: rows of text may.

        Ids may not: how far they are padded would depend on the others.
        """
        return signature == DEFAULT and not self.facts["id_only"]

    def answer(self, signature: str, columns: Columns) -> Rows:
        """The answers to columns that `inputs` has described.

        Raises:
            RequestError: With 400: values that the graph refuses, such as ids outside
                the vocabulary.
        """
        function = self.loaded.signatures[signature]
        tensors = {
            name: tf.constant(column, _tf_type(column))
            for name, column in columns.items()
        }
        try:
            outputs = function(**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise RequestError(400, f"The model refuses the values: {error}") from error
        return as_rows({name: value.numpy() for name, value in outputs.items()})

    def example(self, rows: int) -> Columns:
        """An input of `rows` rows, to warm up with."""
        if self.facts["id_only"]:
            ones = tf.ones([rows, 2], tf.int32).numpy()
            return dict.fromkeys(self.inputs(DEFAULT), ones)
        texts = self.facts["example"]
        return {
            name: tf.fill([rows], texts[name]).numpy() for name in self.inputs(DEFAULT)
        }


def load_folder(folder: Path) -> list[SavedVersion]:
    """All models in a folder, every version, whole and by this package.

    Args:
        folder: Holds `<name>/<version>/`.

    Raises:
        UserError: There is none, or one is damaged, foreign or of another form.
    """
    folder = Path(folder).expanduser()
    places = version_folders(folder)
    if not places:
        raise UserError(
            "There is no exported model in this folder.",
            accepted="a folder that holds NAME/VERSION/saved_model.pb",
            received=str(folder),
            mend=_EXPORT,
        )
    for place in places:
        check_files(place)
    return [load_version(place) for place in places]


def version_folders(folder: Path) -> list[Path]:
    """Every `<name>/<version>/` in a folder; an unfinished export has no such name."""
    return sorted(
        path
        for path in folder.glob("[!.]*/*")
        if path.is_dir() and path.name.isascii() and path.name.isdigit()
    )


def check_files(place: Path) -> None:
    """Check an exported model's files by their checksums, before anything is loaded.

    Raises:
        UserError: It is not an export of this package, or a file is missing or changed.
    """
    for name in (_GRAPH, FACTS, CHECKSUMS):
        if not (place / name).is_file():
            raise UserError(
                f"This is not a model that this package exported: no {name}.",
                received=str(place),
                mend=_EXPORT,
            )
    for line in (place / CHECKSUMS).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        file = place / name
        if not file.is_file() or sha256_of(file) != digest:
            problem = "changed since it was exported" if file.is_file() else "missing"
            raise UserError(
                f"A file of the exported model is {problem}: {name}.",
                received=str(place),
                mend="export it again, or copy it again",
            )


def load_version(place: Path) -> SavedVersion:
    """Load `<name>/<version>/`, its files checked already.

    Raises:
        UserError: export.json has another form, or TensorFlow cannot load the graph.
    """
    facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
    if facts.get("format") != 1:
        raise UserError(
            "The exported model has a form that this version does not know.",
            accepted='"format": 1 in export.json',
            received=facts.get("format"),
            mend=_EXPORT,
        )
    try:
        loaded = tf.saved_model.load(str(place))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"TensorFlow cannot load the exported model: {error}", received=str(place)
        ) from error
    return SavedVersion(
        place.parent.name,
        int(place.name),
        facts,
        _definitions(place),
        loaded,
        read_examples(place / EXTRA),
    )


def _definitions(place: Path) -> dict[str, dict[str, Any]]:
    """The signatures as `saved_model.pb` has them."""
    # Loading TensorFlow has made its messages known to protobuf.
    descriptor = descriptor_pool.Default().FindMessageTypeByName(
        "tensorflow.SavedModel"
    )
    saved = message_factory.GetMessageClass(descriptor).FromString(
        (place / _GRAPH).read_bytes()
    )
    definitions = saved.meta_graphs[0].signature_def
    return {
        name: json_format.MessageToDict(
            definitions[name],
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for name in sorted(definitions)
        if not name.startswith("__")
    }


def _spec(info: Mapping[str, Any]) -> InputSpec:
    return InputSpec(_DTYPES[info["dtype"]], len(info["tensor_shape"]["dim"]))


def _tf_type(column: Any) -> tf.DType:
    return tf.string if column.dtype == object else tf.int32
