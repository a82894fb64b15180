"""Tokenizers over a handful of words, made on the spot: fast, and slow ones."""

from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertTokenizer, PreTrainedTokenizerFast

TEXT = """question context answer the a nile river which flows in egypt long short dogs
bark un acceptable is it : ? . , sentence cola one two three four five"""
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = {token: number for number, token in enumerate([*SPECIAL, *TEXT.split()])}


def fast_tokenizer(*, with_types: bool = True) -> PreTrainedTokenizerFast:
    """BERT's form: `[CLS] words [SEP]`; with token types when asked."""
    backend = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * with_types
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=names,
    )


def slow_tokenizer(folder: Path) -> BertTokenizer:
    """The same ids from the tokenizer in Python."""
    file = folder / "vocab.txt"
    file.write_text("\n".join(VOCABULARY), encoding="utf-8")
    return BertTokenizer(str(file))
