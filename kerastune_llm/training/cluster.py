"""Which processes a run is spread over, and waiting until all of them are there."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from kerastune_llm.backend import tf
from kerastune_llm.errors import UserError

_TYPES = ("chief", "worker")
_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_SLURM = ("SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE", "SLURM_PROCID")
_CONNECT_SECONDS, _PAUSE_SECONDS = 1.0, 0.2


@dataclass(frozen=True)
class Cluster:
    """The worker processes of a run, the chief first.

    Args:
        addresses: `host:port` of each.
        index: Which of them this process is; 0 is the chief.
        resolver: What TensorFlow is told.
    """

    addresses: tuple[str, ...]
    index: int
    resolver: tf.distribute.cluster_resolver.ClusterResolver

    @property
    def port(self) -> int:
        """The port that this process is to be reached at."""
        return _host_and_port(self.addresses[self.index])[1]


def find_cluster() -> Cluster | None:
    """The cluster that `TF_CONFIG` describes, else the Slurm step this process is in.

    Returns:
        `None` for a process of its own.

    Raises:
        UserError: `TF_CONFIG` describes no cluster of workers, or TensorFlow does not
            understand Slurm's list of machines.
    """
    if os.environ.get("TF_CONFIG"):
        return _of_tf_config(os.environ["TF_CONFIG"])
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return _of_slurm()
    return None


def _of_slurm() -> Cluster:
    # Which GPUs a task sees is Slurm's to say. The resolver gives a task a port for
    # each GPU it counts, and none without GPUs: count one a task.
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            gpus_per_node=int(os.environ["SLURM_STEP_NUM_TASKS"]),
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        listed = resolver.cluster_spec().as_dict()["worker"]
        index = int(os.environ["SLURM_PROCID"])
        # It sorts machines by name, node10 before node9. Slurm numbers its tasks in the
        # order of its own list.
        order = list(resolver._task_configuration)
        addresses = sorted(listed, key=lambda x: order.index(x.rpartition(":")[0]))
        return Cluster(tuple(addresses), index, _resolver(addresses, index))
    except (KeyError, RuntimeError, ValueError) as error:
        found = {name: os.environ.get(name, "not set") for name in _SLURM}
        raise UserError(
            f"Slurm's description of this step is not understood: {error}.",
            accepted="machines such as gpu[01-04,07],login2; tasks such as 2(x3),1",
            received=", ".join(f"{name}={value}" for name, value in found.items()),
            mend="describe the workers in TF_CONFIG, such as " + _EXAMPLE,
        ) from error


def _resolver(
    addresses: list[str], index: int
) -> tf.distribute.cluster_resolver.SimpleClusterResolver:
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": addresses}),
        task_type="worker",
        task_id=index,
        rpc_layer="grpc",
    )


def _of_tf_config(text: str) -> Cluster | None:
    try:
        values = json.loads(text)
        workers, task = values["cluster"], values["task"]
        types = [name for name in _TYPES if workers.get(name)]
        addresses = [place for name in types for place in workers[name]]
        before = len(workers[types[0]]) if task["type"] != types[0] else 0
        index = before + int(task["index"])
        own = workers[task["type"]][int(task["index"])]
        for address in addresses:
            _host_and_port(address)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"TF_CONFIG is not the description of a cluster: {error!r}.",
            accepted=_EXAMPLE,
            received=text,
        ) from None
    if set(workers) - set(_TYPES) or own != addresses[index]:
        raise UserError(
            "TF_CONFIG has tasks that are not workers.",
            accepted="chief and worker",
            received=", ".join(workers),
            mend="a job of workers alone, such as `kerastune launch --print` writes",
        )
    if len(addresses) == 1:
        return None
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return Cluster(tuple(addresses), index, resolver)


def wait_for_workers(cluster: Cluster, timeout: float) -> None:
    """Wait until every other worker answers at its address.

    This process answers at its own meanwhile. TensorFlow would wait without an end,
    and not say for whom.

    Args:
        cluster: The workers.
        timeout: Seconds.

    Raises:
        UserError: Some do not answer in time; or the own port is taken.
    """
    missing = [
        address
        for index, address in enumerate(cluster.addresses)
        if index != cluster.index
    ]
    deadline = time.monotonic() + timeout
    with _answering(cluster.port):
        while missing := [each for each in missing if not _answers(each)]:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{len(missing)} of {len(cluster.addresses)} workers did not "
                    f"arrive within {timeout:g} seconds: {', '.join(missing)}.",
                    received=f"this is worker {cluster.index}, "
                    f"{cluster.addresses[cluster.index]}",
                    mend="see that they run and that their ports can be reached, or "
                    "wait longer: --runtime.worker-timeout SECONDS",
                )
            time.sleep(_PAUSE_SECONDS)


@contextlib.contextmanager
def _answering(port: int) -> Iterator[None]:
    """Let others connect to a port, though there is nothing to say."""
    try:
        listening = socket.create_server(("", port), backlog=128)
    except OSError as error:
        raise UserError(
            f"This worker cannot listen on its port: {error.strerror}.",
            received=f"port {port}",
            mend="another port in TF_CONFIG, or `kerastune launch --port-base PORT`",
        ) from error
    with listening:
        yield


def _answers(address: str) -> bool:
    try:
        socket.create_connection(_host_and_port(address), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _host_and_port(address: str) -> tuple[str, int]:
    """
    >>> _host_and_port("localhost:2222")
    ('localhost', 2222)
    """
    host, _, port = address.rpartition(":")
    return host, int(port)
