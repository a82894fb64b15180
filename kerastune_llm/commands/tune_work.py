"""What the trials of a search have in common, and which of them comes next."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from kerastune_llm.commands.trials import Study, Trial
from kerastune_llm.commands.tune_search import Search
from kerastune_llm.commands.tune_space import Dimension, nested
from kerastune_llm.config import RunConfig, merge, read_config_file
from kerastune_llm.errors import UserError
from kerastune_llm.locks import alone, claim
from kerastune_llm.rundir import write_json


@dataclass(frozen=True)
class Work:
    """What the trials of a search have in common.

    Args:
        config: Of every trial, but for the space.
        space: What is searched.
        search: The study.
        study: The folder.
        metric: What is searched by.
        storage: URL of the study's database.
        name: Of the study in it.
    """

    config: RunConfig
    space: tuple[Dimension, ...]
    search: Search
    study: Study
    metric: str
    storage: str
    name: str

    def trial(self, number: int) -> Trial:
        """The run of a trial."""
        values = self.search.values(number)
        title = ", ".join(f"{name} {_shown(value)}" for name, value in values.items())
        return Trial(
            name=f"{number:04d}",
            group=str(number),
            title=f"trial {number}: {title}",
            metric=self.metric,
            values=trial_values(self.config, values),
        )


def trial_values(config: RunConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """The nested values of a trial's run, from its values by dotted name."""
    return merge(config.given(exclude={"output"}), nested(dict(values)))


def run_folder_lock(run: Path) -> Path:
    """The file that is locked while a process works on the run in `run`."""
    return run.with_name(f"{run.name}.lock")


def folder_lock(study: Study) -> Path:
    """The file that is locked while a process looks for its next trial."""
    return study.path / "study.lock"


def mark_folder(study: Study, identity: str) -> None:
    """Write down whose runs are in the folder; its trials have numbers for names.

    Raises:
        UserError: They are another study's.
    """
    file = study.path / "study.json"
    if not file.exists():
        write_json(file, {"identity": identity})
    elif read_config_file(file)["identity"] != identity:
        raise UserError(
            "The output folder holds the runs of another study.",
            received=str(study.path),
            mend="another --output DIR, or the --storage and --study of those runs",
        )


@contextlib.contextmanager
def next_trial(work: Work, wanted: int) -> Iterator[int | None]:
    """Take a trial that was cut off, or a new one; `None` where all are taken."""
    with contextlib.ExitStack() as at_end:
        with alone(folder_lock(work.study)):
            number, claimed = _take(work, wanted)
        if claimed is not None:
            at_end.enter_context(claimed)
        yield number


def _take(work: Work, wanted: int) -> tuple[int | None, TextIO | None]:
    search, study = work.search, work.study
    for number in search.running():
        trial = work.trial(number)
        # Those of another machine have no configuration here.
        if study.config(trial).exists():
            claimed = claim(run_folder_lock(study.run(trial).path))
            if claimed is not None:
                return number, claimed
    if len(search.trials()) >= wanted:
        return None, None
    number = search.ask(work.space, work.config.runtime.seed)
    trial = work.trial(number)
    study.begin(trial)
    return number, claim(run_folder_lock(study.run(trial).path))


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
