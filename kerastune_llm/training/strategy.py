"""Which devices a run uses, and which processes."""

import functools
import logging
import os
from typing import Literal, get_args

from kerastune_llm.backend import tf
from kerastune_llm.errors import UserError, unknown_name
from kerastune_llm.training.cluster import Cluster, find_cluster, wait_for_workers
from kerastune_llm.training.tpu import find_tpu, tpu_strategy

logger = logging.getLogger(__name__)

StrategyName = Literal["auto", "one", "mirrored", "multiworker", "tpu"]
WORKER_TIMEOUT = 600.0


def get_strategy(
    name: StrategyName = "auto", *, worker_timeout: float = WORKER_TIMEOUT
) -> tf.distribute.Strategy:
    """The strategy of that name; the log says what was picked.

    With several processes, call it before any other work of TensorFlow's.

    Args:
        name: `"one"` device; `"mirrored"` over all GPUs, or over the logical CPU
            devices, two or more, where there is no GPU; `"multiworker"` over the
            processes that `TF_CONFIG` or Slurm name; `"tpu"`: all cores of a TPU;
            `"auto"`: several processes where one of these names them, else a TPU, else
            mirrored with two GPUs or more, else one.
        worker_timeout: Seconds to wait for the other processes.

    Raises:
        UserError: An unknown name, no other process, or one that does not arrive; no
            TPU, or one that cannot be used; nothing to mirror over.
    """
    cluster = cluster_of(name)
    if cluster is not None:
        return _multiworker(cluster, worker_timeout)
    if name in ("auto", "tpu") and (address := _tpu_address(name)):
        return _tpu(address)
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one" or (name == "auto" and len(gpus) < 2):
        why = "" if name == "one" else f" (auto: no TPU, {_counted(len(gpus))})"
        device = gpus[0].name if gpus else "the CPU"
        logger.info("strategy: one device, %s%s", device, why)
        return tf.distribute.get_strategy()
    devices = [d.name for d in gpus or tf.config.list_logical_devices("CPU")]
    if not gpus and len(devices) < 2:
        raise UserError(
            "There is nothing to mirror over: TensorFlow lists no GPU.",
            accepted="auto, one",
            received="--runtime.strategy mirrored",
            mend="--runtime.strategy one; of a GPU that is there, `nvidia-smi` and "
            "`pip install 'tensorflow[and-cuda]'` of this version",
        )
    why = " (auto: no TPU)" if name == "auto" else ""
    logger.info("strategy: mirrored over %s%s", ", ".join(devices), why)
    return _mirrored(tuple(devices))


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """One for all runs of a process: a second one over the same devices would number
    its sums as the first did, and TensorFlow take them for the same."""
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


def _tpu_address(name: StrategyName) -> str | None:
    address = find_tpu()
    if address is None and name == "tpu":
        raise UserError(
            "There is no TPU: TensorFlow lists none, and neither TPU_NAME nor "
            "COLAB_TPU_ADDR names one.",
            received="--runtime.strategy tpu",
            mend="a TPU VM or a Colab runtime with a TPU, with tensorflow-tpu "
            "installed, or --runtime.strategy auto",
        )
    return address


def _tpu(address: str) -> tf.distribute.Strategy:
    logger.info("strategy: connecting to the TPU %s", address)
    strategy = tpu_strategy(address)
    logger.info(
        "strategy: the TPU %s, %d replicas", address, strategy.num_replicas_in_sync
    )
    return strategy


def _counted(gpus: int) -> str:
    return "1 GPU" if gpus else "no GPU"
