"""Processes that train one model together: what they agree on, who has which rows."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from typing import TypeVar

from kerastune_llm.backend import tf
from kerastune_llm.errors import JobFailed

Answer = TypeVar("Answer")
# What TensorFlow raises where another worker is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Workers:
    """The processes of a strategy; a process of its own is its own chief.

    Every worker must call `any`, `from_chief` and `wait` at the same points of its way,
    for each waits there for the others.

    Args:
        strategy: The run's.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        resolver = getattr(strategy, "cluster_resolver", None)
        is_several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        spec = resolver.cluster_spec().as_dict() if is_several else {}
        #: How many there are.
        self.count = sum(map(len, spec.values())) or 1
        #: Whether this one writes the run directory and decides.
        self.is_chief = self.count == 1 or (
            resolver.task_id == 0
            and (resolver.task_type == "chief" or "chief" not in spec)
        )

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any worker."""
        if self.count == 1:
            return flag
        return bool(self._from_first([int(flag)], _sum_of_all)[0])

    def from_chief(self, answer: Callable[[], Answer]) -> Answer:
        """What `answer` gives on the chief, and there alone; values of JSON."""
        if self.count == 1:
            return answer()
        text = json.dumps(answer(), default=float).encode() if self.is_chief else b""
        length = int(self._from_first([len(text)])[0])
        content = list(text) if self.is_chief else [0] * length
        return json.loads(bytes(self._from_first(content)))

    def wait(self) -> None:
        """Wait until all are here."""
        self.any(False)

    def _from_first(
        self, values: list[int], combined: Callable | None = None
    ) -> list[int]:
        function = _sums(self._strategy, combined or _sum_of_first)
        return function(tf.constant(values, tf.int32)).numpy().tolist()


@functools.cache
def _sums(strategy: tf.distribute.Strategy, combined: Callable) -> Callable:
    """A graph of `combined` on every replica, for vectors of any length."""

    def of_all(values: tf.Tensor) -> tf.Tensor:
        of_replicas = strategy.run(combined, (values,))
        return strategy.experimental_local_results(of_replicas)[0]

    return tf.function(of_all, input_signature=[tf.TensorSpec([None], tf.int32)])


def _sum_of_all(values: tf.Tensor) -> tf.Tensor:
    context = tf.distribute.get_replica_context()
    # A copy is on the replica's device; what came from outside is on none.
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(values))


def _sum_of_first(values: tf.Tensor) -> tf.Tensor:
    is_first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
    return _sum_of_all(values * tf.cast(is_first, values.dtype))


@contextlib.contextmanager
def losing_workers() -> Iterator[None]:
    """Say in plain words that a worker was lost.

    Raises:
        JobFailed: TensorFlow could not go on without it.
    """
    try:
        yield
    except _LOST as error:
        if "ollective" not in error.message:
            raise
        tasks = sorted({x for x in error.message.split() if x.startswith("/job:")})
        which = f" ({tasks[0].rstrip(':')})" if tasks else ""
        raise JobFailed(
            f"Another worker{which} was lost, and the others cannot go on without it. "
            "Checkpoints are whole. To mend it: `kerastune resume RUN`, started on all "
            "workers as the run was"
        ) from error


def own_share(
    batches: tf.data.Dataset, strategy: tf.distribute.Strategy
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Of each batch, the rows that are this worker's.

    Every worker goes through the same batches. A batch of n rows is cut into as many
    pieces as there are replicas in all, of `ceil(n / replicas)` rows but for the last;
    those at the end may be empty.

    Args:
        batches: Endless.
        strategy: The run's; the batches are given back as they are where all replicas
            are in this process, for Keras shares them out.
    """
    if Workers(strategy).count == 1:
        return batches
    replicas = strategy.num_replicas_in_sync

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local

        def pieces(batch: dict[str, tf.Tensor]) -> tf.data.Dataset:
            numbers = tf.data.Dataset.range(first, first + local)
            return numbers.map(lambda number: _piece(batch, number, replicas))

        own = batches.flat_map(pieces)
        # Otherwise the workers ask one another before every step whether one is left.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        return own.apply(endless).prefetch(tf.data.AUTOTUNE)

    return strategy.distribute_datasets_from_function(of_worker)


def _piece(
    batch: dict[str, tf.Tensor], number: tf.Tensor, pieces: int
) -> dict[str, tf.Tensor]:
    rows = tf.shape(batch["input_ids"], tf.int64)[0]
    size = -(-rows // pieces)
    piece = {}
    for name, values in batch.items():
        cut = values[number * size : (number + 1) * size]
        known = values.shape[0]
        if known is not None and known % pieces == 0:
            cut = tf.ensure_shape(cut, [known // pieces, *values.shape[1:]])
        piece[name] = cut
    return piece
