"""The layers of a model by PyTorch module name, and putting others in their place."""

import os.path
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kerastune_llm.backend import keras
from kerastune_llm.models.delta_layers import DeltaLayer
from kerastune_llm.models.torch_layout import TorchParameter


@dataclass(frozen=True)
class Place:
    """A layer, possibly inside a delta layer, and where the model keeps it.

    Args:
        module: Its module name, such as `decoder.block.0.layer.0.SelfAttention.q`.
        layer: The layer of the model, or the `DeltaLayer` around it.
        holders: `(parent, attribute)`, every place that leads to it.
    """

    module: str
    layer: keras.layers.Layer
    holders: tuple[tuple[keras.layers.Layer, str], ...]

    @property
    def base(self) -> keras.layers.Layer:
        """The layer of the model itself."""
        return _base(self.layer)


def layer_places(
    model: keras.Model, parameters: Mapping[str, TorchParameter]
) -> dict[str, Place]:
    """Every layer that is another's attribute, by module name, in model order.

    A layer that several blocks share (ALBERT) is one place. The name of a layer is
    what the names of its parameters begin with, the matrix of the input embeddings,
    which T5's stacks hold too, apart. Of a layer and the only one inside it, which
    have one name, the inner has the place.

    Args:
        model: A built model.
        parameters: `torch_parameters(model)`.
    """
    shared = _input_matrix(model)
    names = {
        id(p.variable): name
        for name, p in parameters.items()
        if p.variable is not shared
    }
    holders: dict[str, list[tuple[keras.layers.Layer, str]]] = {}
    layers: dict[str, keras.layers.Layer] = {}
    for parent in _unique(model._flatten_layers()):
        if isinstance(parent, DeltaLayer):
            continue
        for attribute, layer in vars(parent).items():
            module = _module(layer, names)
            if not module:
                continue
            if layers.get(module) is not layer:
                layers[module], holders[module] = layer, []
            holders[module].append((parent, attribute))
    return {
        module: Place(module, layer, tuple(holders[module]))
        for module, layer in layers.items()
    }


def dense_places(
    model: keras.Model, parameters: Mapping[str, TorchParameter]
) -> dict[str, Place]:
    """The places of a model's built dense layers.

    Embeddings and the tied logits of T5 are no dense layers and never in here.
    """
    places = layer_places(model, parameters)
    return {
        name: place
        for name, place in places.items()
        if isinstance(place.base, keras.layers.Dense)
    }


def put_layer(place: Place, layer: keras.layers.Layer) -> None:
    """Put another layer where a layer is; the order of variables stays.

    Keras drops the attribute's earlier layer and appends the new one to the parent's
    sublayers, which would change the order of `model.weights`.
    """
    for parent, attribute in place.holders:
        sublayers = parent._self_tracked_trackables
        index = next(n for n, known in enumerate(sublayers) if known is place.layer)
        setattr(parent, attribute, layer)
        sublayers = parent._self_tracked_trackables
        old = next(n for n, known in enumerate(sublayers) if known is layer)
        sublayers.insert(index, sublayers.pop(old))


def forget_functions(model: keras.Model) -> None:
    """Drop the traced steps of a model whose layers have changed."""
    model.train_function = None
    model.test_function = None
    model.predict_function = None


def _base(layer: object) -> object:
    return layer.base_layer if isinstance(layer, DeltaLayer) else layer


def _module(layer: object, names: Mapping[int, str]) -> str:
    """The module name of a layer; empty where it has none."""
    layer = _base(layer)
    if not isinstance(layer, keras.layers.Layer):
        return ""
    modules = [
        names[id(v)].rpartition(".")[0].split(".")
        for v in layer.weights
        if id(v) in names
    ]
    return ".".join(os.path.commonprefix(modules)) if modules else ""


def _input_matrix(model: keras.Model) -> object | None:
    embedding = model.get_input_embeddings()
    return getattr(embedding, "weight", getattr(embedding, "embeddings", None))


def _unique(layers: Iterable[keras.layers.Layer]) -> list[keras.layers.Layer]:
    return list({id(layer): layer for layer in layers}.values())
