"""`kerastune resume`: go on with a run that was cut off, or lengthen a finished one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerastune_llm.backend import keras
from kerastune_llm.commands.config_changes import changed_config
from kerastune_llm.commands.console import console
from kerastune_llm.commands.train import TrainResult, train_in
from kerastune_llm.config import read_config_file
from kerastune_llm.rundir import RunDir


def resume(
    run: str | Path,
    *,
    changes: Mapping[str, Any] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainResult:
    """Go on from a run's last checkpoint, to the bits of a run that never stopped.

    Args:
        run: The run directory, or its address.
        changes: Nested values laid over the run's configuration, such as
            `{"optim": {"epochs": 5}}`.
        callbacks: Keras callbacks of your own; what they remember is theirs to keep.

    Raises:
        UserError: No run there, nothing left to do, a change that would make the result
            meaningless, or rows or weights that are no longer the same.
    """
    run_dir = RunDir.begun(run)
    is_asked_to_send = run_dir.metrics.exists() and not changes
    if is_asked_to_send and (sent := run_dir.publish(at_end=True)):
        console.print(f"the run is finished; {sent} files sent to {run_dir.place}")
        return TrainResult(run_dir.place, read_config_file(run_dir.metrics), False)
    config = changed_config(run_dir, changes or {})
    return train_in(run_dir, config, callbacks=callbacks, is_resumed=True)
