"""Which weight files a model folder has, and why a folder is refused."""

import json
from pathlib import Path

from kerastune_llm.errors import UserError

SINGLE_FILES = ("model.safetensors", "tf_model.h5")
INDEX_FILES = ("model.safetensors.index.json", "tf_model.h5.index.json")
PICKLES = (".bin", ".pt", ".pth", ".ckpt")


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that hold a model's weights: one, or all shards.

    A single file is preferred to shards, safetensors to TensorFlow's h5.

    Raises:
        UserError: There are none, only pickled ones, or a shard is missing.
    """
    for single, index in zip(SINGLE_FILES, INDEX_FILES, strict=True):
        if (folder / single).is_file():
            return (folder / single,)
        if (folder / index).is_file():
            return _shards(folder / index)
    raise _no_weights(folder)


def _shards(index: Path) -> tuple[Path, ...]:
    """The files an index names; each must be there, beside the index."""
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            "The index of the weight shards is not readable.",
            accepted='{"weight_map": {tensor name: file name}}',
            received=f"{index} ({type(error).__name__}: {error})",
            mend="fetch the file again",
        ) from error
    missing = [name for name in names if not (index.parent / name).is_file()]
    outside = [name for name in names if Path(name).name != name]
    if missing or outside or not names:
        raise UserError(
            f"{len(missing or outside)} of {len(names)} weight shards are missing.",
            accepted=f"every file named in {index.name}, beside it",
            received=", ".join((missing or outside)[:5]) or "no shard",
            mend=f"fetch them again into {index.parent}",
        )
    return tuple(index.parent / name for name in names)


def unreadable(file: Path, error: Exception) -> UserError:
    """The error for a weight file that cannot be read."""
    if isinstance(error, PermissionError):
        return UserError("A weight file may not be read.", received=str(file))
    problem = "A weight file is damaged or cut short."
    mend = "fetch it again"
    with file.open("rb") as opened:
        if opened.read(8) == b"version ":
            problem = (
                "A weight file is only the pointer that git-lfs keeps in its place."
            )
            mend = f"`git lfs pull` in {file.parent}"
    size = file.stat().st_size
    received = f"{file} ({size:,} bytes; {error})"
    return UserError(problem, received=received, mend=mend)


def _no_weights(folder: Path) -> UserError:
    present = sorted(entry.name for entry in folder.iterdir())
    pickled = [name for name in present if name.endswith(PICKLES)]
    if pickled:
        architecture = _architecture(folder)
        return UserError(
            "The weights are there only as a pickle, which is not opened: "
            "unpickling runs whatever code is in the file.",
            accepted=", ".join(SINGLE_FILES + INDEX_FILES),
            received=f"{folder}: {', '.join(pickled)}",
            mend="in an environment with PyTorch and only if you trust the file: "
            'python -c "from transformers import '
            f"{architecture}; {architecture}.from_pretrained('{folder}')"
            ".save_pretrained('converted', safe_serialization=True)\"",
        )
    adapter = (
        " This is an adapter's folder." if "adapter_config.json" in present else ""
    )
    return UserError(
        f"The model folder has no weights.{adapter}",
        accepted=", ".join(SINGLE_FILES + INDEX_FILES),
        received=f"{folder}: {', '.join(present) or 'empty'}",
        mend="--from-scratch (random weights), or another folder; a model that the hub "
        "has only as .bin has to be saved as safetensors with PyTorch first",
    )


def _architecture(folder: Path) -> str:
    """The PyTorch class that the folder's configuration names."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return str(config["architectures"][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return "AutoModel"
