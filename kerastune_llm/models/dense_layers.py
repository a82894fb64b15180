"""The dense layers of a model by PyTorch module name, and putting others in place."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kerastune_llm.backend import keras
from kerastune_llm.models.delta_layers import DeltaLayer
from kerastune_llm.models.torch_layout import TorchParameter


@dataclass(frozen=True)
class DensePlace:
    """A dense layer, possibly inside a delta layer, and where the model keeps it.

    Args:
        module: Its module name, such as `decoder.block.0.layer.0.SelfAttention.q`.
        layer: The `Dense`, or the `DeltaLayer` around it.
        holders: `(parent, attribute)`, every place that leads to it.
    """

    module: str
    layer: keras.layers.Layer
    holders: tuple[tuple[keras.layers.Layer, str], ...]

    @property
    def dense(self) -> keras.layers.Dense:
        """The layer of the model itself."""
        inside = isinstance(self.layer, DeltaLayer)
        return self.layer.base_layer if inside else self.layer


def dense_places(
    model: keras.Model, parameters: Mapping[str, TorchParameter]
) -> dict[str, DensePlace]:
    """Every built dense layer of a model by module name, each once, in model order.

    A layer that several blocks share (ALBERT) is one place. Embeddings and the tied
    logits of T5 are no dense layers and never in here.

    Args:
        model: A built model.
        parameters: `torch_parameters(model)`.
    """
    names = {id(p.variable): name for name, p in parameters.items()}
    holders: dict[str, list[tuple[keras.layers.Layer, str]]] = {}
    layers: dict[str, keras.layers.Layer] = {}
    for parent in _unique(model._flatten_layers()):
        if isinstance(parent, DeltaLayer):
            continue
        for attribute, layer in vars(parent).items():
            name = names.get(id(_kernel(layer)))
            if name is not None:
                module = name.removesuffix(".weight")
                layers[module] = layer
                holders.setdefault(module, []).append((parent, attribute))
    return {
        module: DensePlace(module, layer, tuple(holders[module]))
        for module, layer in layers.items()
    }


def put_layer(place: DensePlace, layer: keras.layers.Layer) -> None:
    """Put another layer where a dense layer is; the order of variables stays.

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


def _kernel(layer: object) -> object | None:
    """The matrix of a dense layer that `layer` is or wraps; `None` for all else."""
    if isinstance(layer, DeltaLayer):
        layer = layer.base_layer
    is_dense = isinstance(layer, keras.layers.Dense) and layer.built
    return layer.kernel if is_dense else None


def _unique(layers: Iterable[keras.layers.Layer]) -> list[keras.layers.Layer]:
    return list({id(layer): layer for layer in layers}.values())
