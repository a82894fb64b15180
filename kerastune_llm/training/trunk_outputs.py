"""What the rest of a model reads of its trunk's outputs, computed in a graph."""

import contextlib
from collections.abc import Callable, Mapping

from kerastune_llm.backend import tf
from kerastune_llm.models.first_token import first_token_only
from kerastune_llm.models.trunk import PREFIX, Cut, call_model

Batch = Mapping[str, tf.Tensor]
Specs = dict[str, tf.TensorSpec]
HIDDEN = "last_hidden_state"


class TrunkOutputs:
    """The outputs of a trunk that are worth keeping, traced once for all datasets.

    BERT's head reads the pooled first token alone: of every row it is one vector
    instead of one for each token, and the last block is computed for that token.

    Args:
        cut: Where the trunk ends.
    """

    def __init__(self, cut: Cut) -> None:
        self.cut = cut
        self._functions: dict[tuple, Callable[[Batch], dict[str, tf.Tensor]]] = {}

    def function(self, spec: Specs) -> Callable[[Batch], dict[str, tf.Tensor]]:
        """From a batch to its outputs by name, `[batch, length, width]` or `[batch,
        width]`.

        Args:
            spec: Of the batches: a dataset's `element_spec`; `rows` is not looked at.
        """
        own = without_rows(spec)
        key = tuple(own.items())
        if key not in self._functions:
            self._functions[key] = self._traced(own)
        return self._functions[key]

    def _traced(self, spec: Specs) -> Callable[[Batch], dict[str, tf.Tensor]]:
        record = self._record(spec, for_first_token=True)
        names = self._used(spec, record.structured_outputs)
        if HIDDEN in names and record.structured_outputs[HIDDEN].shape[1] == 1:
            record = self._record(spec, for_first_token=False)

        def outputs(batch: Batch) -> dict[str, tf.Tensor]:
            found = record(without_rows(batch))
            return {name: found[name] for name in names}

        return outputs

    def _record(
        self, spec: Specs, *, for_first_token: bool
    ) -> tf.types.experimental.ConcreteFunction:
        def record(batch: Batch) -> dict[str, tf.Tensor]:
            with contextlib.ExitStack() as within:
                if for_first_token:
                    within.enter_context(first_token_only(self.cut.model))
                return self.cut.record(batch)

        return tf.function(record, autograph=False).get_concrete_function(spec)

    def _used(self, spec: Specs, recorded: Specs) -> tuple[str, ...]:
        """Names of the outputs that logits come from."""
        kept = {PREFIX + n: _of_any_length(value) for n, value in recorded.items()}

        def logits(batch: Batch) -> tf.Tensor:
            return call_model(self.cut.model, batch, training=True).logits

        arguments = {**spec, **kept}
        function = tf.function(logits, autograph=False)
        graph = function.get_concrete_function(arguments).graph
        # A graph's inputs are the entries of the dict, in the order of their names.
        inputs = dict(zip(sorted(arguments), graph.inputs, strict=False))
        used = upstream(graph.outputs[0].op)
        return tuple(name for name in recorded if inputs[PREFIX + name].op.name in used)


def _of_any_length(value: tf.TensorSpec) -> tf.TensorSpec:
    batch, *middle, width = value.shape
    return tf.TensorSpec([batch, *[None] * len(middle), width], value.dtype)


def upstream(operation: tf.Operation) -> set[str]:
    """Names of the operations that an operation depends on."""
    found, waiting = set(), [operation]
    while waiting:
        current = waiting.pop()
        if current.name not in found:
            found.add(current.name)
            waiting += [tensor.op for tensor in current.inputs]
            waiting += current.control_inputs
    return found


def without_rows(batch: Mapping) -> dict:
    """A batch, or the specs of one, as the model is called with it."""
    return {name: value for name, value in batch.items() if name != "rows"}
