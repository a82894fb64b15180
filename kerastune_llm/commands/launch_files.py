"""The files that run a command elsewhere: Slurm, Kubernetes, a TPU VM."""

import importlib.metadata
import shlex
from collections.abc import Callable, Sequence
from importlib import resources
from string import Template

import yaml

IMAGE = "YOUR_REGISTRY/kerastune:latest"
PORT = 2222


def launch_file(place: str, command: Sequence[str], *, nodes: int) -> str:
    """The ready file for a command, with what is to be filled in at its top.

    Args:
        place: `"slurm"`, `"kubernetes"` or `"tpu-vm"`.
        command: Of `kerastune`: `train …` or `resume RUN …`.
        nodes: Machines; a TPU VM is one.

    Example:
    >>> launch_file("slurm", ["train", "cola"], nodes=4).splitlines()[-1]
    'srun --kill-on-bad-exit=1 kerastune train cola'
    """
    return _WRITERS[place](command, nodes)


def _script(name: str, command: Sequence[str], **values: object) -> str:
    template = resources.files("kerastune_llm.commands.launch_templates") / name
    text = Template(template.read_text(encoding="utf-8"))
    words = shlex.join(["kerastune", *command])
    return text.substitute(command=words, **values)


def _slurm(command: Sequence[str], nodes: int) -> str:
    return _script("slurm.sh", command, nodes=nodes)


def _tpu_vm(command: Sequence[str], nodes: int) -> str:
    del nodes
    installed = importlib.metadata.version("tensorflow").split(".")
    return _script("tpu-vm.sh", command, tensorflow=".".join(installed[:2]))


def _kubernetes(command: Sequence[str], nodes: int) -> str:
    container = {
        # The name that the training operator looks for.
        "name": "tensorflow",
        "image": IMAGE,
        "command": ["kerastune", *command],
        "ports": [{"name": "tfjob-port", "containerPort": PORT}],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
        "workingDir": "/shared",
    }
    claim = {"claimName": "kerastune-shared"}
    pod = {
        "containers": [container],
        "volumes": [{"name": "shared", "persistentVolumeClaim": claim}],
        # A run saves itself when the cluster takes a machine back.
        "terminationGracePeriodSeconds": 60,
    }
    workers = {
        "replicas": nodes,
        "restartPolicy": "Never",
        "template": {"spec": pod},
    }
    job = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"name": "kerastune"},
        "spec": {
            "runPolicy": {"cleanPodPolicy": "Running"},
            "tfReplicaSpecs": {"Worker": workers},
        },
    }
    head = (
        "# kubectl apply -f FILE, with Kubeflow's training operator. Fill in the\n"
        "# image, and a volume claim that all workers mount: --output goes there,\n"
        "# or to gs://BUCKET/DIR.\n"
    )
    return head + yaml.safe_dump(job, sort_keys=False, width=1000)


_WRITERS: dict[str, Callable[[Sequence[str], int], str]] = {
    "slurm": _slurm,
    "kubernetes": _kubernetes,
    "tpu-vm": _tpu_vm,
}
