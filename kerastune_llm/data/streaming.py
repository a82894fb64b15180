"""Training rows read from a file while they are trained on, for files of any size.

The file is read once before: counted, and every row checked. Then rows go through a
buffer that shuffles them, and fifty batches of them at a time are tokenised and put
into batches as rows in memory are. Which rows a step has follows from the seed and the
step's number, so a run goes on exactly: rows of steps done before are passed over.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from pathlib import Path

import datasets
import numpy as np

from kerastune_llm.backend import tf
from kerastune_llm.data.batching import (
    WINDOW,
    Batching,
    count_steps,
    plan_batches,
    rows_that_count,
)
from kerastune_llm.data.collate import Collate
from kerastune_llm.data.downloads import local_file
from kerastune_llm.data.encoding import COUNTS, Encoder, encode, encoded_features
from kerastune_llm.data.labels import label_set, names_of
from kerastune_llm.data.packing import PackedCollate
from kerastune_llm.data.pipeline import prefetched, shaped, with_static_shapes
from kerastune_llm.data.problems import Problems
from kerastune_llm.data.rows import Table, canonical_rows
from kerastune_llm.data.sources import file_tables
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import Row, Task

logger = logging.getLogger(__name__)

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Survey:
    """What one reading of a file says.

    Args:
        task: The task, its labels known.
        path: The file.
        rows: How many it has.
        digest: Of all rows and their order.
    """

    task: Task
    path: Path
    rows: int
    digest: str


def survey(task: Task, place: str | Path) -> Survey:
    """Read a training file once, checking every row; labels are discovered.

    Raises:
        UserErrors: The first problem of each kind, with file, row and column.
        UserError: No such file, of a form that cannot be streamed, or without rows.
    """
    path = local_file(place)
    _check_form(path)
    problems, digest, names, number = Problems(), hashlib.blake2b(), set(), 0
    for row in canonical_rows(task, file_tables(task, "train", path), problems):
        number += 1
        digest.update(json.dumps(_with_names(task, row)).encode())
        if task.lacks_labels:
            names |= names_of(row["label"])
    problems.raise_if_any()
    if number == 0:
        raise UserError(f"There are no rows in {path}.")
    if task.lacks_labels:
        task = replace(task, labels=label_set(task, names))
        logger.info("%d labels found: %s", len(task.labels), ", ".join(task.labels))
    logger.info("train: %d rows, streamed from %s", number, place)
    return Survey(task, path, number, digest.hexdigest()[:32])


def _with_names(task: Task, row: Row) -> Row:
    """The row with labels by their names, whether these are known already or not."""
    if not task.labels:
        return row
    label = row["label"]
    names = [task.labels[n] for n in label] if isinstance(label, list) else None
    return {**row, "label": task.labels[label] if names is None else names}


def _check_form(path: Path) -> None:
    suffixes = [suffix for suffix in path.suffixes[-2:] if suffix != ".gz"]
    is_packed_table = path.suffix == ".gz" and suffixes[-1:] == [".parquet"]
    is_form = suffixes[-1:] and suffixes[-1] in SUFFIXES
    if path.is_dir() or (is_form and not is_packed_table):
        return
    mend = None
    if suffixes[-1:] == [".json"]:
        mend = f"jq -c '.[]' {path} > {path.stem}.jsonl, where it is a list of rows"
    raise UserError(
        "This file cannot be streamed: its form is read as a whole.",
        accepted=", ".join(SUFFIXES) + "; each but parquet also with .gz",
        received=str(path),
        mend=mend,
    )


@dataclass(frozen=True)
class Stream:
    """Training batches out of a file.

    Args:
        survey: The file, counted.
        encoder: Makes token ids of its rows.
        buffer_size: Rows that are shuffled among each other at a time.
        seed: Decides the order, with the epoch's number.
    """

    survey: Survey
    encoder: Encoder
    buffer_size: int
    seed: int

    def batches(
        self,
        *,
        batch_size: int,
        first_step: int = 0,
        batching: Batching = "bucket",
        pad_to_multiple_of: int = 1,
    ) -> tf.data.Dataset:
        """Batches without end, epoch after epoch, each as `build_dataset` makes it.

        Args:
            batch_size: Rows in a batch; an epoch's last may have fewer.
            first_step: Where it begins, to resume.
            batching: `"bucket"` puts rows of like length together, within fifty
                batches; `"fixed"` batches say which of their rows are `counted`.
            pad_to_multiple_of: Round widths up to multiples of this.
        """
        as_collate = partial(
            self._collate, batching=batching, multiple=pad_to_multiple_of
        )
        make = partial(self._arrays, batch_size, first_step, as_collate, batching)
        # A row of the file tells the types; its shapes stay open.
        example = as_collate(self._window(list(islice(self._rows(0), 1))))
        arrays = example([{"rows": np.array([0]), "counted": 1}])
        signature = {
            name: tf.TensorSpec([None, *array.shape[1:]], array.dtype)
            for name, array in arrays.items()
        }
        batches = tf.data.Dataset.from_generator(make, output_signature=signature)
        batches = batches.map(partial(shaped, has_text_labels=example.has_text_labels))
        if batching == "fixed":
            shapes = example.shapes(batch_size)
            batches = batches.map(partial(with_static_shapes, shapes))
        return prefetched(batches)

    def _arrays(
        self,
        batch_size: int,
        first_step: int,
        as_collate: Callable[[datasets.Dataset], Collate | PackedCollate],
        batching: Batching,
    ) -> Iterator[dict[str, np.ndarray]]:
        per_epoch = count_steps(self.survey.rows, batch_size=batch_size)
        size = WINDOW * batch_size
        for epoch in count(first_step // per_epoch):
            begin = epoch * per_epoch
            skipped = max(first_step - begin, 0) // WINDOW
            rows = islice(self._rows(epoch), skipped * size, None)
            step = begin + skipped * WINDOW
            while window := list(islice(rows, size)):
                collate = as_collate(self._window(window))
                plan = plan_batches(
                    collate.lengths,
                    batch_size=batch_size,
                    seed=self._seed(epoch, step),
                    batching=batching,
                )
                for number, places in enumerate(plan):
                    if step + number >= first_step:
                        counted = rows_that_count(
                            len(window), batch_size=batch_size, step=number
                        )
                        yield collate([{"rows": places, "counted": counted}])
                step += len(plan)

    def _rows(self, epoch: int) -> Iterator[Row]:
        """The rows of an epoch in its order."""
        rows = datasets.IterableDataset.from_generator(self._read)
        seed = self._seed(epoch)
        return iter(rows.shuffle(seed=seed, buffer_size=self.buffer_size))

    def _read(self) -> Iterator[Row]:
        """The rows of the file in its order."""
        problems = Problems()
        task = self.survey.task
        tables: list[Table] = file_tables(task, "train", self.survey.path)
        yield from canonical_rows(task, tables, problems)
        problems.raise_if_any()

    def _seed(self, *numbers: int) -> int:
        return int(np.random.SeedSequence([self.seed, *numbers]).generate_state(1)[0])

    def _window(self, rows: list[Row]) -> datasets.Dataset:
        """Token columns of some rows, in memory."""
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        found = encode(columns, self.encoder)
        features = encoded_features(columns, self.encoder)
        kept = {name: found[name] for name in found if name not in COUNTS}
        types = datasets.Features({name: features[name] for name in kept})
        return datasets.Dataset.from_dict(kept, features=types)

    def _collate(
        self, tokenised: datasets.Dataset, *, batching: Batching, multiple: int
    ) -> Collate | PackedCollate:
        encoder = self.encoder
        collate = Collate.of(tokenised, encoder.tokenizer, multiple)
        widths = (encoder.max_input_tokens, encoder.max_target_tokens)
        if batching == "pack":
            return PackedCollate.of(collate, *widths)
        if batching == "fixed":
            return replace(collate.at_fixed_width(*widths), with_counted=True)
        return collate
