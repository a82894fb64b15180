"""Taking a method's layers out of a model, with or without their change kept."""

from typing import TYPE_CHECKING

from kerastune_llm.errors import UserError

if TYPE_CHECKING:
    from kerastune_llm.backend import keras


def merge_delta(model: "keras.Model") -> None:
    """Add the change into the model's own weights and take the method's layers out.

    The model is then a plain one of transformers with all its parameters training:
    `save_model` writes it, other methods apply to it. Outputs stay within rounding.

    Args:
        model: A model that a delta method was applied to.

    Raises:
        UserError: The model has no such layers, or no plain model computes the same, or
            its weights are kept in 16 bits; the model is as it was.
    """
    from kerastune_llm.models.delta_layers import delta_layers

    layers = delta_layers(model)
    _check_some(layers)
    _check_precise(layers)
    # All of them first: a layer refuses where merging is not defined.
    merged = [(layer.base_layer, layer.merged()) for layer in layers]
    for base, values in merged:
        for name, value in values.items():
            getattr(base, name).assign(value)
    remove_delta(model)


def remove_delta(model: "keras.Model") -> None:
    """Take the method's layers out and drop their change; all parameters train again.

    The model's own parameters stay as they are, those that were trained included.

    Args:
        model: A model that a delta method was applied to.

    Raises:
        UserError: The model has no such layers.
    """
    from kerastune_llm.models.delta_layers import delta_layers
    from kerastune_llm.models.layout import layout_of
    from kerastune_llm.models.places import forget_functions, layer_places, put_layer
    from kerastune_llm.models.surgery import set_trainable
    from kerastune_llm.models.torch_layout import torch_parameters

    _check_some(delta_layers(model))
    for place in layer_places(model, torch_parameters(model)).values():
        if place.layer is not place.base:
            put_layer(place, place.base)
    forget_functions(model)
    layout = layout_of(model)
    set_trainable(model, layout.names - layout.fixed)


def _check_precise(layers: tuple) -> None:
    """Most of a change is less than what bfloat16 rounds a weight by."""
    weights = [weight for layer in layers for weight in layer.base_layer.weights]
    if any(weight.dtype == "bfloat16" for weight in weights):
        raise UserError(
            "The model's weights are kept in bfloat16, which cannot hold the change.",
            mend="save_adapter(model, folder), and load_adapter into the model loaded "
            "anew",
        )


def _check_some(layers: tuple) -> None:
    if not layers:
        raise UserError(
            "The model has no layers of a delta method.",
            accepted="a model after apply_method(model, 'lora') or load_adapter",
            mend="nothing where the method adds none here: the model is a plain one, "
            "which save_model writes",
        )
