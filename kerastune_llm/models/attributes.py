"""Giving a layer another attribute for a while, unseen by Keras."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

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


@contextlib.contextmanager
def with_attributes(
    layer: keras.layers.Layer, attributes: Mapping[str, object]
) -> Iterator[None]:
    """Within it, a layer has these attributes again, as far as it has others now.

    Args:
        layer: The layer.
        attributes: Of `vars(layer)`, copied when the layer had them.
    """
    own = vars(layer)
    others = {n: v for n, v in attributes.items() if own.get(n) is not v}
    with contextlib.ExitStack() as within:
        for name, value in others.items():
            within.enter_context(replaced(layer, name, value))
        yield


class Stand:
    """In the place of a layer: called instead of it, with the layer's attributes."""

    def __init__(self, layer: keras.layers.Layer, call: Callable[..., Any]) -> None:
        self._layer = layer
        self._call = call

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._call(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)
