"""A tokenizer's normalizer, read from its tokenizer.json, as operations on text."""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

from tokenizers import normalizers

from kerastune_llm.backend import tf
from kerastune_llm.serving.graph_tokenizers.characters import CharacterMap, observe
from kerastune_llm.serving.graph_tokenizers.charsmap import Charsmap
from kerastune_llm.serving.graph_tokenizers.support import unsupported

# Unicode's White_Space, in RE2's words.
WHITE_SPACE = r"[\t-\r\x{85}\p{Z}]"
# Each rewrites characters one by one; decomposition does where the marks go after it.
_BY_CHARACTER = ("Lowercase", "StripAccents", "BertNormalizer", "NFKD", "NFD")
# Patterns that mean the same to Oniguruma and RE2.
_SAFE_PATTERNS = (" {2,}", r"\s+", " +")


class Normalizer(tf.Module):
    """A normalizer of `tokenizers` as operations on UTF-8 text.

    Args:
        spec: The `normalizer` of tokenizer.json, `None` for none.

    Raises:
        UnsupportedTokenizer: A part of it has no graph form.
    """

    def __init__(self, spec: Mapping[str, Any] | None) -> None:
        super().__init__()
        self._steps = list(_steps(list(_flat(spec)) if spec else []))

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Normalized texts, string `[n]`."""
        for step in self._steps:
            texts = step(texts)
        return texts


def _flat(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if spec["type"] != "Sequence":
        yield spec
        return
    for part in spec["normalizers"]:
        yield from _flat(part)


def _steps(specs: list[Mapping[str, Any]]) -> Iterator[Callable]:
    for together, run in groupby(specs, key=lambda spec: spec["type"] in _BY_CHARACTER):
        parts = list(run)
        if together:
            yield _by_character(parts)
        else:
            yield from map(_step, parts)


def _by_character(specs: list[Mapping[str, Any]]) -> CharacterMap:
    """One map for a run of normalizers, as `tokenizers` itself applies them."""
    decomposes = any(spec["type"] in ("NFKD", "NFD") for spec in specs)
    if decomposes and not any(spec["type"] == "StripAccents" for spec in specs):
        raise unsupported("normalizer", "/".join(spec["type"] for spec in specs))
    return CharacterMap(observe(parse_normalizer(specs).normalize_str))


def parse_normalizer(specs: list[Mapping[str, Any]]) -> normalizers.Normalizer:
    """The normalizer of `tokenizers` that the specifications describe."""
    state = json.dumps({"type": "Sequence", "normalizers": specs})
    sequence = normalizers.Sequence([])
    sequence.__setstate__(state.encode())
    return sequence


def _step(spec: Mapping[str, Any]) -> Callable[[tf.Tensor], tf.Tensor]:
    kind = spec["type"]
    if kind == "Precompiled":
        return Charsmap(base64.b64decode(spec["precompiled_charsmap"]))
    if kind == "Strip":
        return _strip(left=spec["strip_left"], right=spec["strip_right"])
    if kind == "Replace":
        return _replace(spec["pattern"], spec["content"])
    if kind == "Prepend":
        return lambda texts: tf.where(
            texts == "", "", tf.strings.join([spec["prepend"], texts])
        )
    raise unsupported("normalizer", kind)


def _strip(*, left: bool, right: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    ends = [f"^{WHITE_SPACE}+"] * left + [f"{WHITE_SPACE}+$"] * right
    return lambda texts: tf.strings.regex_replace(texts, "|".join(ends), "")


def _replace(
    pattern: Mapping[str, str], content: str
) -> Callable[[tf.Tensor], tf.Tensor]:
    if "String" in pattern:
        expression = re.escape(pattern["String"])
    elif pattern["Regex"] in _SAFE_PATTERNS:
        expression = pattern["Regex"]
    else:
        raise unsupported("normalizer's pattern", pattern["Regex"])
    rewrite = content.replace("\\", r"\\")
    return lambda texts: tf.strings.regex_replace(texts, expression, rewrite)
