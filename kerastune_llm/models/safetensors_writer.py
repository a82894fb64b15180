"""Writing PyTorch-layout safetensors, one tensor in memory at a time.

`safetensors.numpy.save_file` wants all tensors of a file at once, which is a second
copy of the model. The format itself is small: the length of a JSON header (8 bytes,
little-endian), the header with each tensor's dtype, shape and place, and the values.
Source: https://github.com/huggingface/safetensors#format
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kerastune_llm.backend import tf
from kerastune_llm.models.torch_layout import TorchParameter

_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "bool": "BOOL",
}
_ALIGNMENT = 8


def write_weights(
    parameters: Sequence[TorchParameter],
    folder: Path,
    *,
    max_shard_bytes: int,
    dtype: tf.DType | None = None,
) -> None:
    """Write `model.safetensors`, or shards and their index above the limit.

    Args:
        parameters: What to write, in order.
        folder: An existing folder.
        max_shard_bytes: Values in one file; a larger tensor gets a file of its own.
        dtype: What floating-point values are written in; default: each its own.
    """
    shards = list(_shards(parameters, max_shard_bytes, dtype))
    if len(shards) == 1:
        write_safetensors(shards[0], folder / "model.safetensors", dtype)
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_safetensors(shard, folder / file, dtype)
        weight_map.update((parameter.name, file) for parameter in shard)
    total = sum(size_in_bytes(parameter, dtype) for parameter in parameters)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    text = json.dumps(index, indent=2, sort_keys=True)
    (folder / "model.safetensors.index.json").write_text(text + "\n", encoding="utf-8")


def write_safetensors(
    parameters: Sequence[TorchParameter], file: Path, dtype: tf.DType | None = None
) -> None:
    """Write one file and wait until it is on the disk."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for parameter in parameters:
        end = start + size_in_bytes(parameter, dtype)
        header[parameter.name] = {
            "dtype": _DTYPES[_stored_dtype(parameter, dtype).name],
            "shape": list(parameter.shape),
            "data_offsets": [start, end],
        }
        start = end
    encoded = json.dumps(header, separators=(",", ":")).encode("utf-8")
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    with file.open("wb") as out:
        out.write(len(encoded).to_bytes(8, "little"))
        out.write(encoded)
        for parameter in parameters:
            stored = _stored_dtype(parameter, dtype).as_numpy_dtype
            out.write(_little_endian(parameter.to_torch().astype(stored, copy=False)))
        out.flush()
        os.fsync(out.fileno())


def size_in_bytes(parameter: TorchParameter, dtype: tf.DType | None = None) -> int:
    """Bytes that the parameter's values take, written as `dtype`."""
    return int(np.prod(parameter.shape)) * _stored_dtype(parameter, dtype).size


def _stored_dtype(parameter: TorchParameter, dtype: tf.DType | None) -> tf.DType:
    own = parameter.variable.dtype
    return dtype if dtype is not None and own.is_floating else own


def _shards(
    parameters: Sequence[TorchParameter],
    max_shard_bytes: int,
    dtype: tf.DType | None,
) -> Iterator[list[TorchParameter]]:
    shard: list[TorchParameter] = []
    filled = 0
    for parameter in parameters:
        size = size_in_bytes(parameter, dtype)
        if shard and filled + size > max_shard_bytes:
            yield shard
            shard, filled = [], 0
        shard.append(parameter)
        filled += size
    yield shard


def _little_endian(value: np.ndarray) -> memoryview:
    value = np.ascontiguousarray(value)
    if value.dtype.byteorder == ">":
        value = value.astype(value.dtype.newbyteorder("<"))
    return memoryview(value.reshape(-1).view(np.uint8))
