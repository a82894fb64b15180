"""A run directory at an address, and what is there; `memory://` is the bucket."""

import hashlib
import uuid

import fsspec

from kerastune_llm.rundir import CHECKSUMS, RunDir, write_json, write_text


def new_address() -> str:
    """An address at which there is nothing yet."""
    return f"memory://{uuid.uuid4().hex}/runs/one"


def objects(address: str) -> dict[str, bytes]:
    fs, root = fsspec.core.url_to_fs(address)
    return {path[len(root) + 1 :]: fs.cat_file(path) for path in fs.find(root)}


def add_checkpoint(run: RunDir, step: int, *, keep: int = 2) -> None:
    """What a run writes up to and in a checkpoint."""
    run.append_history({"step": step})
    write_text(run.model / "model.safetensors", f"the best before {step}")
    folder = run.checkpoint(step)
    content = f"weights after {step}"
    write_text(folder / "tensors.safetensors", content)
    write_text(folder / CHECKSUMS, hashlib.sha256(content.encode()).hexdigest())
    for old in run.saved_checkpoints()[keep:]:
        for file in old.iterdir():
            file.unlink()
        old.rmdir()


def begin(address: str) -> RunDir:
    run = RunDir.create(address)
    write_json(run.environment, {})
    write_json(run.config, {"task": "cola"})
    run.publish()
    return run
