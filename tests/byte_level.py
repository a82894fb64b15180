"""Byte-level BPE tokenizers of the families that have them, trained on the spot."""

from itertools import islice
from pathlib import Path

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from kerastune_llm.tasks.task import get_task

FAMILIES = ("Roberta", "Bart", "Deberta")
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
_MERGES = 2000


def train_byte_level(folder: Path) -> Path:
    """Write vocab.json and merges.txt of some 2,000 merges into a folder."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(_SPECIAL) + len(alphabet) + _MERGES,
        initial_alphabet=alphabet,
        special_tokens=_SPECIAL,
        show_progress=False,
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.model.save(str(folder))
    return folder


def byte_level(folder: Path, family: str, **options: object):
    """The fast tokenizer of a family over those files; adds the special tokens."""
    tokenizer_class = getattr(transformers, f"{family}TokenizerFast")
    files = {"vocab_file": "vocab.json", "merges_file": "merges.txt"}
    paths = {name: str(folder / file) for name, file in files.items()}
    return tokenizer_class(**paths, **options)


def _texts() -> list[str]:
    """Generated English, and characters of two to four bytes that are worth merging."""
    rows = islice(get_task("squad").sample("train"), 300)
    texts = [f"{row['question']} {row['context']}" for row in rows]
    code = Path(transformers.__file__).with_name("tokenization_utils_base.py")
    return [
        *texts,
        code.read_text("utf-8"),
        *["中文 テスト 한국어 😀 été don't I'll"] * 9,
    ]
