"""TensorFlow Serving's REST API: requests to columns, answers to JSON.

What is accepted and refused follows `tensorflow_serving/util/json_tensor.cc`; there is
no HTTP here and no TensorFlow.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

DEFAULT, CLASSIFY = "serving_default", "classify"
_INT32 = range(-(2**31), 2**31)

Columns = dict[str, np.ndarray]
Rows = dict[str, list]


class RequestError(Exception):
    """A request that is refused.

    Args:
        status: The HTTP status, such as 400.
        message: What is wrong, for the client.
        retry_after: Seconds after which the same request may be accepted.
    """

    def __init__(
        self, status: int, message: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


@dataclass(frozen=True)
class InputSpec:
    """One input of a signature.

    Args:
        dtype: What it holds.
        rank: Its dimensions, the batch included.
    """

    dtype: Literal["string", "int32"]
    rank: int


Inputs = Mapping[str, InputSpec]


@dataclass(frozen=True)
class ModelRequest:
    """A request, read.

    Args:
        signature: Name of the signature that is asked.
        columns: By input: bytes as objects `[rows]`, or int32 `[rows, length]`.
        by_row: Whether the answer is wanted by row rather than by column.
    """

    signature: str
    columns: Columns
    by_row: bool = True

    @property
    def rows(self) -> int:
        """How many rows are asked."""
        return len(next(iter(self.columns.values())))


def read_predict(body: bytes, inputs_of: Callable[[str], Inputs]) -> ModelRequest:
    """The request in the body of a `:predict`, in row or in column form.

    Args:
        body: JSON: `instances` or `inputs`, and perhaps `signature_name`.
        inputs_of: The inputs of a signature by its name.

    Raises:
        RequestError: With 400: not JSON, not of this form, or of other inputs.

    Example:
    >>> inputs = {"text": InputSpec("string", 1)}
    >>> read_predict(b'{"instances": ["a", "b"]}', lambda name: inputs).columns
    {'text': array([b'a', b'b'], dtype=object)}
    """
    document, signature = _document(body)
    inputs = inputs_of(signature)
    given = [key for key in ("instances", "inputs") if key in document]
    if len(given) == 2:
        raise RequestError(400, "Expecting only one of 'inputs' or 'instances'")
    if not given:
        raise RequestError(400, "Missing 'inputs' or 'instances' key")
    if given == ["instances"]:
        columns = _by_row(document["instances"], inputs, "instances")
    else:
        columns = _by_column(document["inputs"], inputs)
    return ModelRequest(signature, columns, by_row=given == ["instances"])


def read_classify(body: bytes, inputs_of: Callable[[str], Inputs]) -> ModelRequest:
    """The request in the body of a `:classify`: `examples`, and perhaps a `context`.

    The signature `classify`, which TensorFlow Serving needs to be named, is answered by
    the one that takes text: they give the same.

    Raises:
        RequestError: As `read_predict` does, and for any other signature.
    """
    document, signature = _document(body)
    if signature not in (DEFAULT, CLASSIFY):
        raise RequestError(400, f'Signature name: "{signature}" does not classify')
    examples, context = document.get("examples"), document.get("context", {})
    if not isinstance(examples, list) or not isinstance(context, dict):
        raise RequestError(400, "Expecting 'examples' to be a list of objects")
    if not all(isinstance(example, dict) for example in examples):
        raise RequestError(400, "Example must be JSON object")
    examples = [{**context, **example} for example in examples]
    columns = _by_row(examples, inputs_of(DEFAULT), "examples")
    return ModelRequest(DEFAULT, columns)


def predict_answer(rows: Rows, *, by_row: bool) -> dict[str, Any]:
    """The body of an answer to `:predict`; the name of a single output is left out.

    >>> predict_answer({"answer": ["Oslo"], "score": [0.5]}, by_row=True)
    {'predictions': [{'answer': 'Oslo', 'score': 0.5}]}
    >>> predict_answer({"value": [0.5, 0.25]}, by_row=False)
    {'outputs': [0.5, 0.25]}
    """
    if not by_row:
        return {"outputs": _only(rows) if len(rows) == 1 else rows}
    if len(rows) == 1:
        return {"predictions": _only(rows)}
    values = zip(*rows.values(), strict=True)
    return {"predictions": [dict(zip(rows, row, strict=True)) for row in values]}


def classify_answer(rows: Rows) -> dict[str, Any]:
    """The body of an answer to `:classify`: every label with its probability.

    >>> classify_answer({"labels": [["no", "yes"]], "probabilities": [[0.25, 0.75]]})
    {'result': [[['no', 0.25], ['yes', 0.75]]]}
    """
    pairs = zip(rows["labels"], rows["probabilities"], strict=True)
    return {
        "result": [
            [[label, score] for label, score in zip(*row, strict=True)] for row in pairs
        ]
    }


def as_rows(outputs: Mapping[str, np.ndarray]) -> Rows:
    """Outputs as plain values, floats with the digits that float32 has.

    >>> as_rows({"score": np.array([0.1], np.float32), "answer": np.array([b"a"])})
    {'score': [0.1], 'answer': ['a']}
    """
    return {name: _plain(values) for name, values in outputs.items()}


def _plain(values: np.ndarray) -> list:
    if values.dtype == np.float32:
        # By way of text, which is the shortest that gives the same float32.
        return values.astype(str).astype(float).tolist()
    return _text(values.tolist())


def _text(value: object) -> Any:
    if isinstance(value, list):
        return [_text(part) for part in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _only(rows: Rows) -> list:
    return next(iter(rows.values()))


def _document(body: bytes) -> tuple[dict[str, Any], str]:
    """The JSON object in a body, and the name of the signature in it."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(400, "JSON Value: Is not object")
    signature = document.get("signature_name", DEFAULT)
    if not isinstance(signature, str):
        raise RequestError(400, "Expecting 'signature_name' to be a string")
    return document, signature or DEFAULT


def _by_row(instances: object, inputs: Inputs, key: str) -> Columns:
    if not isinstance(instances, list) or not instances:
        raise RequestError(400, f"Expecting '{key}' to be a list that is not empty")
    if len(inputs) == 1 and not any(map(_is_named, instances)):
        instances = [{next(iter(inputs)): value} for value in instances]
    for number, instance in enumerate(instances):
        if not _is_named(instance) or set(instance) != set(inputs):
            raise RequestError(
                400,
                f"Failed to process element: {number} of '{key}' list. Expecting an "
                f"object whose keys are: {','.join(sorted(inputs))}",
            )
    return {
        name: _column([instance[name] for instance in instances], name, spec)
        for name, spec in inputs.items()
    }


def _by_column(values: object, inputs: Inputs) -> Columns:
    if not _is_named(values):
        if len(inputs) > 1:
            raise RequestError(
                400, "inputs is a plain value/list, but expecting an object"
            )
        values = {next(iter(inputs)): values}
    if set(values) != set(inputs):
        raise RequestError(
            400, f"'inputs' must name exactly: {','.join(sorted(inputs))}"
        )
    columns = {name: _column(values[name], name, inputs[name]) for name in inputs}
    if len({len(column) for column in columns.values()}) > 1:
        raise RequestError(400, "'inputs' have different numbers of rows")
    return columns


def _is_named(value: object) -> bool:
    """Whether a value is an object of inputs, and not bytes in base 64."""
    return isinstance(value, dict) and set(value) != {"b64"}


def _column(values: object, name: str, spec: InputSpec) -> np.ndarray:
    if not isinstance(values, list) or not values:
        raise RequestError(400, f"Input {name}: expecting a list that is not empty")
    if spec.dtype == "string":
        texts = np.empty(len(values), object)
        texts[:] = [_bytes(value, name) for value in values]
        return texts
    lengths = {len(row) if isinstance(row, list) else None for row in values}
    if None in lengths or len(lengths) > 1:
        raise RequestError(400, f"Input {name}: expecting lists of one length")
    if not all(type(item) is int and item in _INT32 for row in values for item in row):
        raise RequestError(400, f"Input {name}: expecting values of type int32")
    return np.array(values, np.int32).reshape(len(values), -1)


def _bytes(value: object, name: str) -> bytes:
    """A text in UTF-8: the graph's tokenizers take nothing else."""
    try:
        if isinstance(value, dict) and set(value) == {"b64"}:
            decoded = base64.b64decode(value["b64"], validate=True)
            decoded.decode("utf-8")
            return decoded
        if isinstance(value, str):
            return value.encode("utf-8")
    except (ValueError, TypeError) as error:
        raise RequestError(400, f"Input {name}: not UTF-8 text: {error}") from error
    raise RequestError(400, f"Input {name}: expecting values of type string")


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several answers, one after the other.

    >>> joined([{"a": [1]}, {"a": [2, 3]}])
    {'a': [1, 2, 3]}
    """
    return {name: [row for part in parts for row in part[name]] for name in parts[0]}
