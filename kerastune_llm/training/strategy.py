"""Which devices a run uses, and which processes."""

import logging
import os
from typing import Literal, get_args

from kerastune_llm.backend import tf
from kerastune_llm.errors import UserError, unknown_name
from kerastune_llm.training.cluster import Cluster, find_cluster, wait_for_workers

logger = logging.getLogger(__name__)

StrategyName = Literal["auto", "one", "mirrored", "multiworker"]
WORKER_TIMEOUT = 600.0


def get_strategy(
    name: StrategyName = "auto", *, worker_timeout: float = WORKER_TIMEOUT
) -> tf.distribute.Strategy:
    """The strategy of that name; the log says what was picked.

    With several processes, call it before any other work of TensorFlow's.

    Args:
        name: `"one"` device; `"mirrored"` over all GPUs, or over the logical CPU
            devices where there is no GPU; `"multiworker"` over the processes that
            `TF_CONFIG` or Slurm name; `"auto"`: several processes where one of these
            names them, else mirrored with two GPUs or more, else one.
        worker_timeout: Seconds to wait for the other processes.

    Raises:
        UserError: An unknown name, no other process, or one that does not arrive.
    """
    cluster = cluster_of(name)
    if cluster is not None:
        return _multiworker(cluster, worker_timeout)
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one" or (name == "auto" and len(gpus) < 2):
        logger.info("strategy: one device, %s", gpus[0].name if gpus else "the CPU")
        return tf.distribute.get_strategy()
    devices = [d.name for d in gpus or tf.config.list_logical_devices("CPU")]
    logger.info("strategy: mirrored over %s", ", ".join(devices))
    return tf.distribute.MirroredStrategy(devices)


def cluster_of(name: StrategyName) -> Cluster | None:
    """The processes that a run with that strategy is spread over; `None` for one.

    Raises:
        UserError: An unknown name; or the name and the environment do not agree.
    """
    if name not in get_args(StrategyName):
        raise unknown_name("strategy", name, get_args(StrategyName))
    if name not in ("auto", "multiworker"):
        if os.environ.get("TF_CONFIG") and find_cluster() is not None:
            raise UserError(
                f"With --runtime.strategy {name}, every worker that TF_CONFIG names "
                "would train alone, into one folder.",
                accepted="auto, multiworker",
                received=name,
                mend="--runtime.strategy auto, or no TF_CONFIG",
            )
        return None
    cluster = find_cluster()
    if cluster is None and name == "multiworker":
        raise UserError(
            "There are no other workers: neither TF_CONFIG nor Slurm names any.",
            received="--runtime.strategy multiworker",
            mend="`kerastune launch --workers 2 -- train …`, or "
            "--runtime.strategy auto",
        )
    return cluster


def _multiworker(cluster: Cluster, timeout: float) -> tf.distribute.Strategy:
    logger.info("strategy: %d workers, waiting for all", len(cluster.addresses))
    wait_for_workers(cluster, timeout)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster.resolver)
    logger.info(
        "strategy: %d workers, %d devices in all: %s",
        len(cluster.addresses),
        strategy.num_replicas_in_sync,
        ", ".join(cluster.addresses),
    )
    return strategy
