"""The precompiled character map against `tokenizers`, which is the reference."""

import base64
import json
import random

import pytest
from tokenizers import normalizers

from kerastune_llm.backend import tf
from kerastune_llm.models.sources import resolve_source
from kerastune_llm.serving.graph_tokenizers.charsmap import Charsmap, read_charsmap


@pytest.fixture(scope="module")
def blob() -> bytes:
    file = resolve_source("starter") / "tokenizer.json"
    spec = json.loads(file.read_text("utf-8"))["normalizer"]["normalizers"][0]
    return base64.b64decode(spec["precompiled_charsmap"])


def rewritten(blob: bytes, texts: list[str]) -> list[str]:
    rows = tf.function(Charsmap(blob).__call__)(tf.constant(texts)).numpy()
    return [text.decode("utf-8") for text in rows]


def test_every_character(blob):
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    texts = [chr(point) for point in points]
    rewrite = normalizers.Precompiled(blob).normalize_str
    changed = {text: rewrite(text) for text in texts if rewrite(text) != text}
    keys = read_charsmap(blob, longest_key=5)
    singles = {key: value for key, value in keys.items() if len(key) == 1}
    assert {key: value for key, value in singles.items() if key != value} == changed


def test_clusters_of_marks(blob):
    """Random strings of what clusters are made of, each several characters long."""
    keys = list(read_charsmap(blob, longest_key=5))
    marks = [chr(point) for point in (*range(0x300, 0x370), 0x9F, 0xD, 0xA, 0x601)]
    chooser = random.Random(0)
    texts = [
        "".join(
            chooser.choice((chooser.choice(keys), chooser.choice(marks), "e", "Ä"))
            for _ in range(chooser.randrange(1, 9))
        )
        for _ in range(5000)
    ]
    rewrite = normalizers.Precompiled(blob).normalize_str
    assert rewritten(blob, texts) == [rewrite(text) for text in texts]
