"""Running a function where a model's weights are: on a TPU, on all of its cores."""

from collections.abc import Callable
from typing import Any

from kerastune_llm.backend import tf


def where_weights_are(
    strategy: tf.distribute.Strategy, function: Callable[..., Any]
) -> Callable[..., Any]:
    """The function, for a graph: on a TPU each core computes its share of the rows.

    Elsewhere it is `function` itself, on one device. A host cannot compute with the
    weights of a TPU.
    """
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return rows_shared_out(strategy, function)
    return function


def rows_shared_out(
    strategy: tf.distribute.Strategy, function: Callable[..., Any]
) -> Callable[..., Any]:
    """The function of all rows, computed by every replica of its share of them.

    Args:
        strategy: With as many replicas as divide the number of rows.
        function: Of tensors `[rows, ...]`, nested; its results are tensors whose first
            dimension is put together again in the order of the rows.
    """
    replicas = strategy.num_replicas_in_sync

    def of_replica(*arguments: Any) -> Any:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group

        def own(values: tf.Tensor) -> tf.Tensor:
            size = values.shape[0] // replicas
            # Gathered, not sliced: its size is known when the graph is compiled.
            return tf.gather(values, number * size + tf.range(size))

        return function(*tf.nest.map_structure(own, arguments))

    def of_all(*arguments: Any) -> Any:
        results = strategy.run(of_replica, args=arguments)
        return tf.nest.map_structure(
            lambda each: tf.concat(strategy.experimental_local_results(each), axis=0),
            results,
        )

    return of_all
