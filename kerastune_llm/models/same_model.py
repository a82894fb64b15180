"""Whether two names are of one model: what an adapter names, and what it is put on."""

import filecmp
from pathlib import Path
from typing import Literal

from kerastune_llm.errors import UserError
from kerastune_llm.models.sources import looks_like_path
from kerastune_llm.models.weight_files import weight_files

Kinship = Literal["same", "different", "unknown"]


def compare_models(one: str, other: str) -> Kinship:
    """Whether two names of models are of the same one.

    Two folders are compared by their weight files, byte by byte. Two hub ids are
    different where the names differ after the owner's: `bert-base-cased` and
    `google-bert/bert-base-cased` are one model. Anything else cannot be told: a folder
    may be a download of the hub's model, and folders move.

    Args:
        one: A folder or a hub id; may be empty.
        other: The same.

    Example:
    >>> compare_models("google-bert/bert-base-cased", "bert-base-cased")
    'unknown'
    >>> compare_models("bert-base-cased", "bert-base-uncased")
    'different'
    """
    if not one or not other or one == other:
        return "same" if one and one == other else "unknown"
    folders = [Path(name).expanduser() for name in (one, other)]
    if all(folder.is_dir() for folder in folders):
        return _compare_folders(*folders)
    may_be_hub_ids = not any(
        looks_like_path(name) or folder.exists()
        for name, folder in zip((one, other), folders, strict=True)
    )
    if may_be_hub_ids and folders[0].name != folders[1].name:
        return "different"
    return "unknown"


def _compare_folders(one: Path, other: Path) -> Kinship:
    try:
        ours, theirs = weight_files(one), weight_files(other)
    except UserError:  # No weights in one of them, as for a model from scratch.
        return "unknown"
    same = len(ours) == len(theirs) and all(
        filecmp.cmp(file, of_other, shallow=False)
        for file, of_other in zip(ours, theirs, strict=True)
    )
    return "same" if same else "different"
