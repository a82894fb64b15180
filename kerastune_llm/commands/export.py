"""`kerastune export`: a run's model in the form that another program opens."""

from pathlib import Path

from kerastune_llm.commands.console import console, logging_to
from kerastune_llm.commands.finished_run import open_run
from kerastune_llm.commands.saved import load_trained
from kerastune_llm.errors import UserError
from kerastune_llm.registry import EXPORTS


def export(run: str | Path, to: str, folder: str | Path) -> Path:
    """Write a run's model into a new folder, in the form called `to`.

    Args:
        run: The run directory.
        to: Name of a form, such as `"transformers"` or `"peft"`.
        folder: Where to: made when it is absent, else empty.

    Returns:
        The folder.

    Raises:
        UserError: No such form, no run there, the folder is not empty, or the run's
            model does not exist in that form. Nothing is then written.
    """
    form = EXPORTS.get(to)
    folder = Path(folder).expanduser()
    _check_free(folder)
    with logging_to(None):
        run_dir, job = open_run(run)
        what_next = form(run_dir, job, load_trained(run_dir, job), folder)
        files = sorted(entry.name for entry in folder.iterdir())
        console.print(f"wrote {folder}: {', '.join(files)}", markup=False)
        console.print(what_next, markup=False)
    return folder


def _check_free(folder: Path) -> None:
    taken = folder.is_dir() and any(folder.iterdir())
    if taken or (folder.exists() and not folder.is_dir()):
        raise UserError(
            "The place for the export is taken.",
            accepted="a new or an empty folder",
            received=str(folder),
            mend="another folder, or remove this one",
        )
