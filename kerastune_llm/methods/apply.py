"""Applying a method to a model: check everything, then change it, then count."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from kerastune_llm.errors import UserError
from kerastune_llm.methods.method import (
    DeltaMethod,
    Method,
    StagedMethod,
    TokenizedMethod,
    make_method,
)

if TYPE_CHECKING:
    from kerastune_llm.backend import keras, transformers
    from kerastune_llm.models.delta_layers import DeltaLayer
    from kerastune_llm.models.layout import Layout
    from kerastune_llm.models.surgery import ParameterTable


def apply_method(
    model: "keras.Model",
    method: "Method | str",
    *,
    tokenizer: "transformers.PreTrainedTokenizerBase | None" = None,
    **options: object,
) -> "ParameterTable":
    """Make a model train the way `method` says; nothing changes unless all checks pass.

    Call it before `compile`, or compile again after it.

    Args:
        model: A built transformers model.
        method: A method such as `LastN(blocks=2)`, or the name of a registered one.
        tokenizer: The model's, where a hyper-parameter is a text.
        **options: Hyper-parameters of the method called by name.

    Returns:
        Total and trainable parameters by part.

    Raises:
        UserError: Unknown method or option, or one that does not suit this model; the
            model is as it was.

    Example, in a notebook::

        table = apply_method(model, "last_n", blocks=2)
        model.compile(optimizer, loss=model.hf_compute_loss)
    """
    # Here and not above: the register imports this folder to list the methods, and
    # that must stay fast.
    from kerastune_llm.models.layout import layout_of
    from kerastune_llm.models.surgery import count_parameters, set_trainable

    chosen = _chosen(method, options)
    if tokenizer is not None and isinstance(chosen, TokenizedMethod):
        chosen = chosen.tokenised(tokenizer)
    _check_built(model)
    layout = layout_of(model)
    check_plain(layout)
    names = chosen.trainable_names(layout)
    if isinstance(chosen, DeltaMethod):
        place_layers(model, make_layers(model, chosen, layout), names)
    else:
        set_trainable(model, names)
    later = chosen.stages(layout)[-1] if isinstance(chosen, StagedMethod) else ()
    return count_parameters(model, later)


def method_callbacks(
    method: Method, model: "keras.Model", total_steps: int
) -> "list[keras.callbacks.Callback]":
    """What a method needs beside `fit`; nothing unless it trains by stages.

    Args:
        method: The method that was applied.
        model: The model.
        total_steps: Optimizer updates of the whole run.
    """
    if isinstance(method, StagedMethod):
        return method.callbacks(model, total_steps)
    return []


def make_layers(
    model: "keras.Model", method: DeltaMethod, layout: "Layout"
) -> "dict[str, DeltaLayer]":
    """The method's layers by module name, around the model's, not yet in place.

    Raises:
        UserError: A target of the method matches nothing.
    """
    from kerastune_llm.models.places import layer_places
    from kerastune_llm.models.torch_layout import torch_parameters

    places = layer_places(model, torch_parameters(model))
    layers = {name: places[name].base for name in method.sites(layout)}
    # In the model's own strategy, wherever the caller stands.
    with model.distribute_strategy.scope():
        return method.wrap(layers, layout)


def place_layers(
    model: "keras.Model", layers: "Mapping[str, DeltaLayer]", names: Collection[str]
) -> None:
    """Put a method's layers in place and train them and the parameters in `names`."""
    from kerastune_llm.models.layout import layout_of
    from kerastune_llm.models.places import forget_functions, layer_places, put_layer
    from kerastune_llm.models.surgery import set_trainable
    from kerastune_llm.models.torch_layout import torch_parameters

    places = layer_places(model, torch_parameters(model))
    for module, layer in layers.items():
        put_layer(places[module], layer)
    forget_functions(model)
    set_trainable(model, {*names, *layout_of(model).part("delta")})


def _chosen(method: "Method | str", options: dict[str, object]) -> Method:
    if isinstance(method, str):
        return make_method(method, options)
    if options:
        raise UserError(
            "Options belong to a method called by name; this one has its own.",
            accepted="apply_method(model, 'last_n', blocks=2) or "
            "apply_method(model, LastN(blocks=2))",
            received=", ".join(sorted(options)),
        )
    return method


def check_plain(layout: "Layout") -> None:
    """Refuse a model that has a delta method's layers already."""
    added = len(layout.part("delta"))
    if added:
        raise UserError(
            f"The model has the {added} weights of another method's layers.",
            accepted="a model without them",
            mend="merge_delta(model) or remove_delta(model) first",
        )


def _check_built(model: "keras.Model") -> None:
    if not model.built:
        raise UserError(
            "The model has no variables yet.",
            accepted="a built model",
            mend="model.build_in_name_scope() before apply_method(model, …)",
        )
