"""What each of several workers writes: the chief the run directory, others nothing."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kerastune_llm.commands.console import console
from kerastune_llm.rundir import RunDir
from kerastune_llm.training.strategy import StrategyName, cluster_of


@contextlib.contextmanager
def own_folder(
    run: RunDir, strategy: StrategyName, *, is_resumed: bool
) -> Iterator[RunDir]:
    """The folder that this process writes, and for others than the chief no console.

    Of the chief, or a process of its own, it is the run directory, which is gone at the
    end where no run began in it. Of another worker it is a folder that is gone at the
    end, so that all of them go the same way.

    Args:
        run: The run directory.
        strategy: Its name; with it, the environment tells which worker this is.
        is_resumed: Whether there is a run in it already.

    Raises:
        UserError: The run directory holds a run already, or cannot be written.
    """
    cluster = cluster_of(strategy)
    if cluster is None or cluster.index == 0:
        own = run if is_resumed else RunDir.create(run.place)
        try:
            yield own
        finally:
            own.discard_unbegun()
            own.publish()  # however it ended: the log says why
        return
    was_quiet, console.quiet = console.quiet, True
    try:
        with tempfile.TemporaryDirectory(prefix="kerastune-worker-") as folder:
            yield RunDir(Path(folder))
    finally:
        console.quiet = was_quiet
