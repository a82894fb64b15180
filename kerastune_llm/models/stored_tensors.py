"""Tensors on disk: which are where, under which name, read one at a time.

Every file, whatever its format, is seen as a set of `StoredTensor`s under PyTorch
names; only the layout (PyTorch's axis order or TensorFlow's) is left to the reader.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from safetensors import SafetensorError, safe_open

from kerastune_llm.errors import UserError
from kerastune_llm.models.torch_layout import torch_name
from kerastune_llm.models.weight_files import unreadable, weight_files

WEIGHT_DTYPES = ("float64", "float32", "float16", "bfloat16")

_SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
}
_UNREADABLE = (SafetensorError, OSError, KeyError, RuntimeError)


@dataclass(frozen=True)
class StoredTensor:
    """One tensor on disk.

    Args:
        name: Its PyTorch name, of today (`LayerNorm.weight`, not `LayerNorm.gamma`).
        key: Its name in the file.
        file: The file.
        shape: As stored.
        dtype: As stored: numpy's name, or safetensors' where numpy has none.
        layout: Whose axis order and shape it is stored in.
    """

    name: str
    key: str
    file: Path
    shape: tuple[int, ...]
    dtype: str
    layout: Literal["torch", "tensorflow"]


def find_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of a model folder's weight files, by PyTorch name.

    Only headers are read. A single file is preferred to shards, safetensors to h5.

    Raises:
        UserError: No weight files, only pickled ones, one missing or unreadable.
    """
    tensors: dict[str, StoredTensor] = {}
    for file in weight_files(folder):
        list_file = _list_h5 if file.suffix == ".h5" else _list_safetensors
        try:
            listed = list(list_file(file))
        except _UNREADABLE as error:
            raise unreadable(file, error) from error
        tensors.update((tensor.name, tensor) for tensor in listed)
    return tensors


def read_tensors(
    tensors: Iterable[StoredTensor],
) -> Iterator[tuple[StoredTensor, np.ndarray]]:
    """Each tensor with its value, file by file, holding one value at a time.

    Raises:
        UserError: A file is damaged.
    """
    by_file: dict[Path, list[StoredTensor]] = {}
    for tensor in tensors:
        by_file.setdefault(tensor.file, []).append(tensor)
    for file, wanted in by_file.items():
        read = _read_h5 if file.suffix == ".h5" else _read_safetensors
        values = read(file, wanted)
        for tensor in wanted:
            try:
                value = next(values)
            except _UNREADABLE as error:
                raise unreadable(file, error) from error
            yield tensor, value


def _list_safetensors(file: Path) -> Iterator[StoredTensor]:
    with safe_open(file, framework="numpy", backend="pread") as archive:
        written_by = (archive.metadata() or {}).get("format", "pt")
        if written_by == "flax":
            raise UserError(
                "These safetensors have Flax's layout.",
                accepted="PyTorch's or TensorFlow's",
                received=str(file),
                mend="take the PyTorch or TensorFlow files of this model",
            )
        for key in archive.keys():  # noqa: SIM118  (an archive is not iterable)
            piece = archive.get_slice(key)
            shape, dtype = tuple(piece.get_shape()), piece.get_dtype()
            dtype = _SAFETENSORS_DTYPES.get(dtype, dtype)
            if written_by == "tf":
                name = _name_of_stripped(key, shape)
                yield StoredTensor(name, key, file, shape, dtype, "tensorflow")
            else:
                name = _name_of_today(key)
                yield StoredTensor(name, key, file, shape, dtype, "torch")


def _read_safetensors(file: Path, wanted: list[StoredTensor]) -> Iterator[np.ndarray]:
    # pread, not mmap: mapped pages would count as a second copy of the whole file.
    with safe_open(file, framework="numpy", backend="pread") as archive:
        for tensor in wanted:
            yield archive.get_tensor(tensor.key)


def _list_h5(file: Path) -> Iterator[StoredTensor]:
    """Tensors of a Keras `save_weights` file, or of a shard of one.

    The first has a group for each layer with its `weight_names`; a shard has the
    tensors themselves, under their names, as `layer_names`.
    """
    with h5py.File(file, "r") as archive:
        for layer in _attribute(archive, "layer_names"):
            entry = archive[layer]
            if isinstance(entry, h5py.Dataset):
                name = _name_of_stripped(layer, entry.shape)
                yield _h5_tensor(name, layer, file, entry)
                continue
            for weight in _attribute(entry, "weight_names"):
                dataset = entry[weight]
                name, _ = torch_name(weight, dataset.shape)
                yield _h5_tensor(name, f"{layer}/{weight}", file, dataset)


def _h5_tensor(name: str, key: str, file: Path, dataset: h5py.Dataset) -> StoredTensor:
    shape, dtype = tuple(dataset.shape), dataset.dtype.name
    return StoredTensor(name, key, file, shape, dtype, "tensorflow")


def _read_h5(file: Path, wanted: list[StoredTensor]) -> Iterator[np.ndarray]:
    with h5py.File(file, "r") as archive:
        for tensor in wanted:
            yield archive[tensor.key][()]


def _attribute(group: h5py.Group, name: str) -> Iterator[str]:
    """A list in an h5 attribute; Keras splits long ones into `name0`, `name1`, …"""
    split = (f"{name}{number}" for number in itertools.count())
    chunks = itertools.takewhile(group.attrs.__contains__, split)
    chunks = [name] if name in group.attrs else list(chunks)
    if not chunks:
        raise KeyError(f"no attribute {name}")
    for chunk in chunks:
        for value in group.attrs[chunk]:
            yield value.decode("utf-8") if isinstance(value, bytes) else value


def _name_of_stripped(key: str, shape: tuple[int, ...]) -> str:
    """The PyTorch name of a TensorFlow name that has lost the model's own level.

    transformers strips that level, except from names with a level called `model.…`.
    """
    whole = key if "model." in key or "/" not in key else f"model/{key}"
    name, _ = torch_name(whole, shape)
    return name


def _name_of_today(key: str) -> str:
    """Today's spelling of a PyTorch name.

    >>> _name_of_today("bert.embeddings.LayerNorm.gamma")
    'bert.embeddings.LayerNorm.weight'
    >>> _name_of_today("conv.parametrizations.weight.original0")  # weight_norm
    'conv.weight_g'
    """
    *levels, last = key.split(".")
    if last in ("original0", "original1") and levels[-2:-1] == ["parametrizations"]:
        return ".".join([*levels[:-2], levels[-1] + ("_g", "_v")[int(last[-1])]])
    last = {"gamma": "weight", "beta": "bias"}.get(last, last)
    return ".".join([*levels, last])
