"""`kerastune export`: a run's model in the form that another program opens."""

from pathlib import Path

from kerastune_llm.commands.console import console, logging_to
from kerastune_llm.commands.export_form import ServingOptions
from kerastune_llm.commands.finished_run import open_run
from kerastune_llm.commands.saved import load_trained
from kerastune_llm.registry import EXPORTS
from kerastune_llm.remote import here


def export(
    run: str | Path,
    to: str,
    folder: str | Path,
    options: ServingOptions | None = None,
) -> Path:
    """Write a run's model into a folder, in the form called `to`.

    Args:
        run: The run directory.
        to: Name of a form, such as `"transformers"` or `"peft"`.
        folder: Where to: made when it is absent, else empty; served models may be
            added to others.
        options: How a served model is to answer.

    Returns:
        The folder.

    Raises:
        UserError: No such form, no run there, the place is taken, or the run's model
            does not exist in that form. Nothing is then written.
    """
    form = EXPORTS.get(to)
    folder, options = here(folder).expanduser(), options or ServingOptions()
    with logging_to(None):
        run_dir, job = open_run(run)
        form.check(job, folder, options)
        model = load_trained(run_dir, job)
        what_next = form.write(run_dir, job, model, folder, options)
        files = sorted(entry.name for entry in folder.iterdir())
        console.print(f"wrote {folder}: {', '.join(files)}", markup=False)
        console.print(what_next, markup=False)
    return folder
