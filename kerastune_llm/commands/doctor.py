"""`kerastune doctor`: what is wrong here, or would go wrong, and what mends it."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from kerastune_llm.commands.console import console
from kerastune_llm.commands.finding import Finding, Level
from kerastune_llm.config import RunConfig

COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "red"}
HUB_TIMEOUT_SECONDS = 5


def doctor(config: RunConfig | None = None, *, tpu: bool = False) -> int:
    """Print findings about this installation and, where given, a configuration.

    Args:
        config: The configuration.
        tpu: Whether it is to run on a TPU.

    Returns:
        0, or 2 where something would keep a run from working.
    """
    findings = []
    for check in (_versions, _keras, _devices, _disk, _hub):
        findings += list(_shown(check()))
    if config is not None:
        from kerastune_llm.commands.doctor_config import check_config

        console.print(f"[bold]configuration[/bold] {config.task.name}, {config.model}")
        findings += list(_shown(check_config(config)))
    if config is not None and tpu:
        from kerastune_llm.commands.doctor_tpu import check_tpu

        console.print("[bold]on a TPU[/bold]")
        findings += list(_shown(check_tpu(config)))
    problems = sum(finding.level == "problem" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    console.print(f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}")
    return 2 if problems else 0


def _shown(findings: Iterator[Finding]) -> Iterator[Finding]:
    for finding in findings:
        colour = COLOURS[finding.level]
        mend = f"\nto mend it: {finding.mend}" if finding.mend else ""
        first, *others = f"{finding.text}{mend}".splitlines()
        console.print(f"[{colour}]{finding.level:8}[/{colour}]", end="")
        console.print(first, markup=False)
        for line in others:
            console.print(f"{'':8}{line}", markup=False)
        yield finding


def _versions() -> Iterator[Finding]:
    """Every dependency is there, in a version the package is made for."""
    try:
        requirements = importlib.metadata.requires("kerastune_llm") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("warning", "kerastune_llm is not installed", "pip install .")
        return
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is not None:
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(
                "problem", f"{requirement.name} is missing", f'pip install "{text}"'
            )
            continue
        if Version(version) in requirement.specifier:
            yield Finding("ok", f"{requirement.name} {version}")
        else:
            yield Finding(
                "problem",
                f"{requirement.name} {version} is not {requirement.specifier}",
                f'pip install "{text}"',
            )


def _keras() -> Iterator[Finding]:
    """Keras 2 and 3 side by side, the trap of this line."""
    legacy = os.environ.get("TF_USE_LEGACY_KERAS")
    if legacy != "1":
        yield Finding(
            "note",
            "tf.keras is Keras 3 here, and transformers' models are Keras 2 (tf-keras)",
            "in your own code `import tf_keras as keras`, or set TF_USE_LEGACY_KERAS=1",
        )
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        yield Finding(
            "note", f"KERAS_BACKEND={os.environ['KERAS_BACKEND']} concerns Keras 3 only"
        )
    try:
        from kerastune_llm.backend import keras, tf, transformers
    except (ImportError, ValueError) as error:
        yield Finding("problem", f"TensorFlow does not import: {error}", "make setup")
        return
    if not issubclass(transformers.TFPreTrainedModel, keras.Model):
        yield Finding(
            "problem",
            "transformers was imported before tf-keras was there: its models are not "
            "tf-keras models",
            "import kerastune_llm before transformers, or restart the notebook",
        )
    else:
        yield Finding("ok", f"transformers' models are tf-keras {keras.__version__}")
    if not tf.executing_eagerly():
        yield Finding("problem", "eager mode is off", "no tf.compat.v1 behaviour")


def _devices() -> Iterator[Finding]:
    from kerastune_llm.backend import tf

    gpus = tf.config.list_physical_devices("GPU")
    cores = len(os.sched_getaffinity(0))
    if gpus:
        yield Finding("ok", f"{len(gpus)} GPUs, {cores} CPU cores")
    elif shutil.which("nvidia-smi"):
        yield Finding(
            "warning",
            "an NVIDIA driver is there, but TensorFlow sees no GPU",
            'pip install "tensorflow[and-cuda]"',
        )
    else:
        yield Finding("ok", f"no GPU, {cores} CPU cores")
    if importlib.util.find_spec("torch") is not None:
        yield Finding("note", "PyTorch is installed; it is not used and not imported")


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    level: Level = "ok" if free > 5 else "warning"
    mend = "" if level == "ok" else "free some, or use --output on another disk"
    yield Finding(level, f"{free:.0f} GB free on this disk", mend)


def _hub() -> Iterator[Finding]:
    import requests
    from huggingface_hub import constants

    offline = "a folder (--model DIR, --data.train FILE), or the bundled starter"
    if constants.HF_HUB_OFFLINE:
        yield Finding(
            "note",
            "HF_HUB_OFFLINE is set: the hub's cache only",
            f"unset it, or use {offline}",
        )
        return
    try:
        requests.head(constants.ENDPOINT, timeout=HUB_TIMEOUT_SECONDS)
    except requests.RequestException as error:
        reason = re.sub(r"\(.*", "", str(type(error).__name__))
        yield Finding(
            "warning", f"the Hugging Face hub cannot be reached ({reason})", offline
        )
    else:
        yield Finding("ok", "the Hugging Face hub answers")


def _counted(count: int, name: str) -> str:
    """A number of things.

    >>> _counted(1, "warning"), _counted(0, "problem")
    ('1 warning', '0 problems')
    """
    return f"{count} {name}{'s' * (count != 1)}"
