"""Loading a tokenizer, with nothing in it that cuts or pads on its own."""

import json
import logging
from pathlib import Path
from typing import Any

from kerastune_llm.backend import transformers
from kerastune_llm.errors import UserError
from kerastune_llm.models.sources import resolve_source

logger = logging.getLogger(__name__)

VOCABULARY_FILES = (
    "tokenizer.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spm.model",
    "source.spm",
    "vocab.txt",
    "vocab.json",
    "bpe.codes",
)


def load_tokenizer(
    source: str | Path, *, revision: str | None = None
) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer of a model; it cuts and pads only when it is asked to.

    Args:
        source: What `resolve_source` takes: a folder, a bundled model or a hub id.
        revision: Branch, tag or commit on the hub.

    Raises:
        UserError: No tokenizer files, or files that do not make a tokenizer.
    """
    folder = resolve_source(source, revision=revision, with_weights=False)
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        present = sorted(entry.name for entry in folder.iterdir())
        raise UserError(
            "The model folder has no tokenizer.",
            accepted=f"one of {', '.join(VOCABULARY_FILES)}",
            received=f"{folder}: {', '.join(present[:12]) or 'empty'}",
            mend="copy the tokenizer's files of the checkpoint into the folder",
        )
    try:
        tokenizer = _open(folder)
    except Exception as error:  # The tokenizers library raises bare Exception.
        raise UserError(
            f"The tokenizer's files do not make a tokenizer: {error}",
            received=str(folder),
            mend="fetch the tokenizer's files again",
        ) from error
    if tokenizer.is_fast:
        # all-MiniLM's file says "cut to 128 and pad", which would happen in silence.
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        logger.info("the tokenizer has no padding token: %s pads", tokenizer.eos_token)
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _open(folder: Path) -> transformers.PreTrainedTokenizerBase:
    saved = _read(folder / "tokenizer_config.json")
    settings: dict[str, Any] = {}
    extra = saved.get("extra_special_tokens")
    if isinstance(extra, list):
        # transformers 5 lists under this name what 4 has as additional tokens.
        settings = {"extra_special_tokens": {}, "additional_special_tokens": extra}
    name = saved.get("tokenizer_class") or "AutoTokenizer"
    known_class = hasattr(transformers, name)
    is_general = not known_class or name == "PreTrainedTokenizerFast"
    if is_general and "type_vocab_size" not in _read(folder / "config.json"):
        # The general class gives token types to every model, T5 too, which takes none.
        names = ["input_ids", "attention_mask"]
        settings["model_input_names"] = saved.get("model_input_names", names)
    if not known_class and (folder / "tokenizer.json").is_file():
        # A class of transformers 5 only: the file alone makes the tokenizer.
        return transformers.PreTrainedTokenizerFast.from_pretrained(folder, **settings)
    return transformers.AutoTokenizer.from_pretrained(
        folder, trust_remote_code=False, **settings
    )


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
