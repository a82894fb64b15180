"""`kerastune push`: a run's model and its card onto the Hugging Face hub."""

import shutil
import tempfile
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi

from kerastune_llm.commands.card_data import base_on_hub
from kerastune_llm.commands.console import console, logging_to, show_table
from kerastune_llm.commands.export_form import ServingOptions
from kerastune_llm.commands.finished_run import open_run
from kerastune_llm.commands.hub import (
    check_private,
    check_repository,
    check_way,
    hub_errors,
)
from kerastune_llm.commands.job import Job
from kerastune_llm.commands.model_card import Place, saved_card
from kerastune_llm.commands.saved import load_trained
from kerastune_llm.config import read_config_file
from kerastune_llm.errors import UserError
from kerastune_llm.registry import EXPORTS
from kerastune_llm.rundir import RunDir, write_json, write_text

Form = Literal["whole", "adapter"]
ADAPTER_CONFIG = "adapter_config.json"


def push(
    run: str | Path,
    repository: str,
    *,
    form: Form | None = None,
    is_private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
) -> str | None:
    """Upload a finished run's model with its tokenizer and model card.

    Args:
        run: The run directory.
        repository: `user/name`; made where it is not there.
        form: The whole model, an adapter merged into it; or the adapter alone.
            Default: what the run saved.
        is_private: Make a private repository; a public one is not written to.
        revision: Branch; made where it is not there. Default: main.
        dry_run: Only say what would go, without asking the hub anything.

    Returns:
        The address of the commit; `None` of a dry run.

    Raises:
        UserError: No finished run, no such form of it, no token, or the hub cannot be
            reached or refuses. What is in the repository is then as it was.
    """
    check_repository(repository)
    RunDir.finished(run)
    if not dry_run:
        check_way(repository)
    with logging_to(None), tempfile.TemporaryDirectory(prefix="kerastune-") as place:
        run_dir, job = open_run(run)
        folder = Path(place) / "files"
        form = form or ("adapter" if run_dir.adapter.is_dir() else "whole")
        _write(run_dir, job, folder, form)
        card = Place(repository, repository, form, is_repository=True)
        write_text(folder / "README.md", saved_card(run_dir, job, card))
        _show(folder, repository, revision)
        if dry_run:
            console.print("nothing was sent (--dry-run)")
            return None
        address = _upload(folder, repository, is_private, revision)
    console.print(f"pushed: {address}", markup=False)
    return address


def _write(run: RunDir, job: Job, folder: Path, form: Form) -> None:
    if form == "whole":
        write = EXPORTS.get("transformers").write
        write(run, job, load_trained(run, job), folder, ServingOptions())
        return
    base = _base_for_others(run, job)
    shutil.copytree(run.adapter, folder)
    # The run's own names the folder where this machine has the base model.
    settings = read_config_file(folder / ADAPTER_CONFIG)
    write_json(folder / ADAPTER_CONFIG, settings | {"base_model_name_or_path": base})


def _base_for_others(run: RunDir, job: Job) -> str:
    """The base model's id on the hub, without which nobody could use an adapter."""
    whole = f"kerastune push {run.place} --repo USER/NAME --form whole"
    if not run.adapter.is_dir():
        raise UserError(
            f"This run has no adapter: {job.config.method.name} trained weights of the "
            "model itself.",
            received="--form adapter",
            mend=whole,
        )
    base = base_on_hub(job)
    if base is None:
        raise UserError(
            "The adapter's base model is on this machine alone, so nobody else could "
            "open the adapter.",
            accepted="an adapter of a model that is on the hub",
            received=f"--model {job.config.model}",
            mend=f"{whole} pushes the model with the adapter merged",
        )
    return base


def _show(folder: Path, repository: str, revision: str | None) -> None:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    sizes = [file.stat().st_size for file in files]
    rows = [
        (str(file.relative_to(folder)), size)
        for file, size in zip(files, sizes, strict=True)
    ]
    title = f"for {repository}, branch {revision or 'main'}"
    show_table(title, ["file", "bytes"], [*rows, ("in all", sum(sizes))])


def _upload(
    folder: Path, repository: str, is_private: bool, revision: str | None
) -> str:
    api = HfApi()
    with hub_errors(repository):
        api.create_repo(repository, private=is_private or None, exist_ok=True)
        if is_private:
            check_private(api, repository)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            commit_message="Upload a model fine-tuned with kerastune_llm",
        )
    return done.commit_url
