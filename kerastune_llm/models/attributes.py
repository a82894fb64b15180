"""Giving a layer another attribute for a while, unseen by Keras."""

import contextlib
from collections.abc import Iterator

from kerastune_llm.backend import keras


@contextlib.contextmanager
def replaced(layer: keras.layers.Layer, name: str, value: object) -> Iterator[None]:
    """Within it, a layer has another value under a name; afterwards its own again.

    Past Keras' `__setattr__`, which would track the value: as a sublayer, in
    checkpoints. In a graph it holds for what is traced within it.
    """
    attributes = vars(layer)
    before = {name: attributes[name]} if name in attributes else {}
    attributes[name] = value
    try:
        yield
    finally:
        del attributes[name]
        attributes.update(before)
