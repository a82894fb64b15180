"""Gradient checkpointing: blocks whose activations are computed again when needed.

Of a block, only what goes in stays in memory after the forward pass; the backward pass
runs it once more, with the same dropout, and goes through it from there. Chen et al.,
Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174.

`tf.recompute_grad` would not do: it takes no `None` and no numbers among the arguments
of a block, and the random numbers of the second run, which depend on nothing that the
first left, are merged with those of the first, which then stay in memory.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.as_written import as_written
from kerastune_llm.models.attributes import replaced, with_attributes
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.quick_activations import quick_activations
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.training.dropout import Draws


def block_layers(model: keras.Model) -> tuple[keras.layers.Layer, ...]:
    """The layers that are the blocks of a model's stacks.

    Raises:
        UserError: A block of this architecture is not one layer.
    """
    layout, parameters = layout_of(model), torch_parameters(model)
    added = {id(parameters[name].variable) for name in layout.part("delta")}
    owners: dict[frozenset[int], keras.layers.Layer] = {}
    for layer in model._flatten_layers():
        own = frozenset(id(variable) for variable in layer.weights)
        # The outermost layer comes first.
        owners.setdefault(own - added, layer)
    found = []
    for block in (block for stack in layout.blocks.values() for block in stack):
        own = frozenset(id(parameters[name].variable) for name in block.parameters)
        if own not in owners:
            raise UserError(
                "Gradient checkpointing goes by blocks, and a block of a "
                f"{layout.model_type} model is not one layer.",
                mend="leave out --runtime.gradient-checkpointing, and take less "
                "memory by --optim.accumulate-steps",
            )
        found.append(owners[own])
    return tuple(found)


@contextlib.contextmanager
def recomputed(model: keras.Model, draws: Draws) -> Iterator[None]:
    """Within it, what the model's blocks compute is not kept for the backward pass.

    In a graph it holds for what is traced within it; the gradients may be taken after.

    Args:
        model: Any model whose blocks are layers.
        draws: What its dropout layers draw from.
    """
    with contextlib.ExitStack() as restored:
        # A cache would make every block's keys and values outputs that stay.
        restored.enter_context(replaced(model.config, "use_cache", False))
        for block in block_layers(model):
            call = _Recomputed(block, draws)
            restored.enter_context(replaced(block, "call", call))
        yield


class _Recomputed:
    """In the place of a block's `call`."""

    def __init__(self, block: keras.layers.Layer, draws: Draws) -> None:
        self._block = block
        self._call = block.call
        self._draws = draws

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        structure = (arguments, options)
        leaves = tf.nest.flatten(structure)
        places = [n for n, leaf in enumerate(leaves) if tf.is_tensor(leaf)]
        outputs: list[Any] = []
        # In the backward pass, which is traced later, a part may be replaced no more.
        as_called = {n: v for n, v in vars(self._block).items() if n != "call"}

        def run(tensors: Sequence[tf.Tensor], draws: Draws) -> list[tf.Tensor]:
            """The tensors that come out when these go in."""
            given = dict(enumerate(leaves)) | dict(zip(places, tensors, strict=True))
            inputs = tf.nest.pack_sequence_as(structure, list(given.values()))
            with with_attributes(self._block, as_called):
                outputs[:] = [self._run(draws, *inputs)]
            return [o for o in tf.nest.flatten(outputs) if tf.is_tensor(o)]

        results = iter(self._without_memory(run)(*(leaves[n] for n in places)))
        return tf.nest.map_structure(
            lambda output: next(results) if tf.is_tensor(output) else output, outputs[0]
        )

    def _without_memory(
        self, run: Callable[[Sequence[tf.Tensor], Draws], list[tf.Tensor]]
    ) -> Callable[..., list[tf.Tensor]]:
        """`run` on tensors, and once more for its gradients."""
        calls = self._draws.calls

        @tf.custom_gradient
        def forward(*tensors: tf.Tensor) -> tuple[list[tf.Tensor], Callable]:
            def backward(
                *upstream: tf.Tensor, variables: Sequence[tf.Variable] = ()
            ) -> Any:
                again = [*tensors, self._draws.seed]
                with _after(again, upstream) as again:
                    *inputs, seed = again
                    with tf.GradientTape() as tape:
                        tape.watch([t for t in inputs if t.dtype.is_floating])
                        results = run(inputs, Draws(seed, calls))
                    sources = [*inputs, *variables]
                    found = tape.gradient(results, sources, output_gradients=upstream)
                gradients = found[: len(inputs)]
                of_variables = [_dense(g) for g in found[len(inputs) :]]
                return (gradients, of_variables) if variables else gradients

            return run(tensors, self._draws), backward

        return forward

    def _run(
        self, draws: Draws, arguments: Sequence[Any], options: dict[str, Any]
    ) -> Any:
        # By the layer, not by `call` alone: Keras has to know of its precision, and
        # that it is in training, in the backward pass too.
        block = self._block
        with (
            replaced(block, "call", self._call),
            draws.installed(block),
            quick_activations(block),
        ):
            return as_written(block, *arguments, **options)


@contextlib.contextmanager
def _after(
    tensors: Sequence[tf.Tensor], others: Sequence[tf.Tensor]
) -> Iterator[list[tf.Tensor]]:
    """The same tensors, but not before there are the others; nor anything within it.

    TensorFlow runs what it can as soon as it can, and merges equal operations that have
    equal inputs and wait for the same. XLA knows nothing of such an order.
    """
    with tf.control_dependencies(others):
        yield [tf.identity(tensor) for tensor in tensors]


def _dense(gradient: tf.Tensor | tf.IndexedSlices | None) -> tf.Tensor | None:
    return None if gradient is None else tf.convert_to_tensor(gradient)
