"""The order in which a run directory's files come to an address, and leave it."""

from kerastune_llm.mirror import Mirror

CONFIG, METRICS, CHECKPOINTS = "config.json", "metrics.json", "checkpoints"
# A checkpoint's last file: without it the checkpoint is not whole.
CHECKSUMS = "SHA256SUMS"


def mirror_of(address: str) -> Mirror:
    """The mirror of a run directory at an address."""
    return Mirror(address, order=_order, last=lambda name: name == METRICS, unit=_unit)


def _unit(name: str) -> str | None:
    """The checkpoint's folder that a file is in, if it is in one."""
    folder, _, rest = name.partition("/")
    return f"{folder}/{rest.partition('/')[0]}" if folder == CHECKPOINTS else None


def _order(name: str) -> tuple:
    """Files as they must come to be at an address, so that a run can always go on.

    A checkpoint comes after the history and the model that it says to be there, and its
    checksums after its other files. Last is what tells that the run is finished.

    >>> names = ["metrics.json", "checkpoints/step-1/SHA256SUMS", "metrics.jsonl"]
    >>> names += ["checkpoints/step-1/state.json", "config.json", "environment.json"]
    >>> for name in sorted(names, key=_order):
    ...     print(name)
    environment.json
    metrics.jsonl
    config.json
    checkpoints/step-1/state.json
    checkpoints/step-1/SHA256SUMS
    metrics.json
    """
    unit = _unit(name)
    rank = {CONFIG: 1, METRICS: 3}.get(name, 2 if unit else 0)
    return rank, unit or "", name.endswith(CHECKSUMS), name
