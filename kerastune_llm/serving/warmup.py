"""Requests that TensorFlow Serving sends itself before it takes others.

They are `PredictionLog` messages of tensorflow/serving (`apis/prediction_log.proto`,
`predict.proto`, `model.proto`) in a TFRecord file. Only four fields of three messages
are needed, each a length and bytes on the wire, so they are put down here rather than
with the package tensorflow-serving-api.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kerastune_llm.backend import tf

FILE_NAME = "tf_serving_warmup_requests"

# Field numbers, by message.
_PREDICTION_LOG_PREDICT = 6
_PREDICT_LOG_REQUEST = 1
_REQUEST_MODEL, _REQUEST_INPUTS = 1, 2
_MODEL_NAME, _MODEL_SIGNATURE = 1, 3
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


def write_warmup(
    folder: Path,
    requests: Iterable[Mapping[str, Sequence[str]]],
    *,
    name: str,
    signature: str,
) -> None:
    """Write warm-up requests into the `assets.extra` of a SavedModel.

    Args:
        folder: `assets.extra`; made when it is absent.
        requests: Texts by field, each one batch.
        name: The name the model is served under.
        signature: The signature that is asked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / FILE_NAME)) as file:
        for request in requests:
            file.write(prediction_log(request, name=name, signature=signature))


def prediction_log(
    fields: Mapping[str, Sequence[str]], *, name: str, signature: str
) -> bytes:
    """One request as a serialized `tensorflow.serving.PredictionLog`."""
    model = _field(_MODEL_NAME, name.encode())
    model += _field(_MODEL_SIGNATURE, signature.encode())
    request = _field(_REQUEST_MODEL, model)
    for key, texts in fields.items():
        tensor = tf.make_tensor_proto(list(texts), tf.string).SerializeToString()
        entry = _field(_ENTRY_KEY, key.encode()) + _field(_ENTRY_VALUE, tensor)
        request += _field(_REQUEST_INPUTS, entry)
    predict = _field(_PREDICT_LOG_REQUEST, request)
    return _field(_PREDICTION_LOG_PREDICT, predict)


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes: its number and wire type 2, the length, the content.

    >>> _field(1, b"squad").hex()
    '0a057371756164'
    """
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
