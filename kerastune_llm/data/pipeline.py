"""Token columns to a `tf.data` pipeline of padded batches, through `to_tf_dataset`."""

import random
from dataclasses import dataclass, replace
from functools import partial

import datasets
import numpy as np
import pyarrow
from transformers import PreTrainedTokenizerBase

from kerastune_llm.backend import tf
from kerastune_llm.data.batching import (
    Batching,
    count_steps,
    plan_batches,
    rows_that_count,
)
from kerastune_llm.data.collate import Collate
from kerastune_llm.data.packing import PackedCollate
from kerastune_llm.errors import UserError

# Columns `[batch, length]`, besides labels that are texts.
_TOKENS = ("input_ids", "token_type_ids", "input_segments", "target_segments")
# Steps that are fetched at a time.
FETCHED_STEPS = 16
# Before the name of a column whose steps are laid end to end: where they end.
_ENDS = "ends/"


def build_dataset(
    tokenised: datasets.Dataset,
    *,
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int,
    epochs: int = 1,
    steps: int | None = None,
    first_step: int = 0,
    seed: int = 0,
    shuffle: bool = True,
    batching: Batching = "bucket",
    max_input_tokens: int | None = None,
    max_target_tokens: int | None = None,
    pad_to_multiple_of: int = 1,
    with_rows: bool = False,
    with_counted: bool = False,
) -> tf.data.Dataset:
    """Batches for Keras `fit`, the labels inside the dict.

    A batch is int32 `input_ids`, `attention_mask` (and `token_type_ids`), each
    `[batch, length]`, padded to the batch's longest row, and `labels`: `[batch,
    length]` for text, where padding is -100, `[batch]` (float32 for regression), or
    float32 `[batch, labels]` of 0 and 1 for multilabel. A packed batch has fewer rows
    than examples, and their numbers as `input_segments` and `target_segments`.
    Which rows a step has is decided by `plan_batches`, and by nothing else.

    Args:
        tokenised: The dataset of `tokenise`.
        tokenizer: Gives the ids and the side of padding.
        batch_size: Rows in a batch; with `"pack"`, the examples that are laid into
            fewer rows, so that an update is made of as many either way.
        epochs: Passes over the rows. `fit(batches, epochs=3)` repeats one order three
            times; `epochs=3` here and `steps_per_epoch` there gives three orders.
        steps: Batches, instead of `epochs`.
        first_step: Leave out the batches before this one, to resume.
        seed: Decides the order of the rows.
        shuffle: Whether epochs have orders of their own.
        batching: `"bucket"`, `"pad"`, `"fixed"` or `"pack"`; see `plan_batches`.
        max_input_tokens: Width of `"fixed"` inputs, largest of `"pack"`; default: the
            longest row's.
        max_target_tokens: The same for the labels.
        pad_to_multiple_of: Round widths up to multiples of this: fewer shapes for XLA
            to compile.
        with_rows: Add `rows`, int32 `[batch]`: which rows of `tokenised` they are.
        with_counted: Add `counted`, int32 `[batch]`: 0 for the rows that only fill up a
            `"fixed"` batch, which the step of `compile_model` leaves out; otherwise
            they count twice.

    Raises:
        UserError: No rows; a row longer than the width of `"fixed"` or `"pack"`; or
            labels that cannot be packed.
    """
    collate = _collate(
        tokenised,
        tokenizer,
        batching,
        max_input_tokens=max_input_tokens,
        max_target_tokens=max_target_tokens,
        pad_to_multiple_of=pad_to_multiple_of,
        with_rows=with_rows,
        with_counted=with_counted,
    )
    lengths = collate.lengths
    if steps is None:
        steps = count_steps(len(lengths), batch_size=batch_size, epochs=epochs)
    plan = plan_batches(
        lengths,
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        shuffle=shuffle,
        batching=batching,
    )[first_step:]
    if not plan:
        raise UserError("There are no steps left.", received=f"{first_step=}, {steps=}")
    counts = [len(rows) for rows in plan] if with_counted else None
    if with_counted and batching == "fixed":
        counts = [
            rows_that_count(len(lengths), batch_size=batch_size, step=first_step + n)
            for n in range(len(plan))
        ]
    batches = _through_datasets(plan, collate, counts)
    if isinstance(collate, Collate) and batching == "fixed":
        batches = batches.map(partial(with_static_shapes, collate.shapes(batch_size)))
    return prefetched(batches)


@dataclass(frozen=True)
class BatchReport:
    """What the batches of an epoch are like.

    Args:
        steps: How many there are.
        tokens: Tokens of inputs and of labels that are texts.
        cells: Places for them, padding included.
        shapes: Different shapes, each of which XLA compiles a step for.
    """

    steps: int
    tokens: int
    cells: int
    shapes: int

    @property
    def padding(self) -> float:
        """The share of the places that is padding."""
        return 1 - self.tokens / self.cells


def describe_batches(
    tokenised: datasets.Dataset,
    *,
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int,
    seed: int = 0,
    batching: Batching = "bucket",
    max_input_tokens: int | None = None,
    max_target_tokens: int | None = None,
    pad_to_multiple_of: int = 1,
) -> BatchReport:
    """The batches of the first epoch that `build_dataset` makes, not made but counted.

    The arguments are those of `build_dataset`.
    """
    collate = _collate(
        tokenised,
        tokenizer,
        batching,
        max_input_tokens=max_input_tokens,
        max_target_tokens=max_target_tokens,
        pad_to_multiple_of=pad_to_multiple_of,
    )
    plan = plan_batches(
        collate.lengths, batch_size=batch_size, seed=seed, batching=batching
    )
    shapes = [collate.shape(rows) for rows in plan]
    return BatchReport(
        steps=len(plan),
        tokens=sum(collate.tokens(rows) for rows in plan),
        cells=sum(rows * sum(widths) for rows, *widths in shapes),
        shapes=len(set(shapes)),
    )


def _collate(
    tokenised: datasets.Dataset,
    tokenizer: PreTrainedTokenizerBase,
    batching: Batching,
    *,
    max_input_tokens: int | None,
    max_target_tokens: int | None,
    pad_to_multiple_of: int,
    with_rows: bool = False,
    with_counted: bool = False,
) -> Collate | PackedCollate:
    """What makes a batch of the rows of a step."""
    collate = Collate.of(tokenised, tokenizer, pad_to_multiple_of)
    collate = replace(collate, with_rows=with_rows, with_counted=with_counted)
    if batching == "fixed":
        return collate.at_fixed_width(max_input_tokens, max_target_tokens)
    if batching == "pack":
        return PackedCollate.of(collate, max_input_tokens, max_target_tokens)
    return collate


def _through_datasets(
    plan: list[np.ndarray],
    collate: Collate | PackedCollate,
    counts: list[int] | None = None,
) -> tf.data.Dataset:
    """The plan as a Dataset with one row a step, each collated into its batch.

    Several steps are fetched at a time: what a call from TensorFlow into Python takes
    is more than what it takes to make a batch of a few rows.
    """
    ends = np.cumsum([len(rows) for rows in plan])
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    rows = pyarrow.ListArray.from_arrays(offsets, np.concatenate(plan))
    columns = {"rows": rows} if counts is None else {"rows": rows, "counted": counts}
    steps = datasets.Dataset(pyarrow.table(columns)).with_format("numpy")
    # The sample batches are drawn from Python's random numbers, which are the user's.
    state = random.getstate()
    fetched = steps.to_tf_dataset(
        batch_size=FETCHED_STEPS,
        shuffle=False,
        collate_fn=partial(_laid_end_to_end, collate=collate),
        prefetch=False,
        num_test_batches=1,
    )
    random.setstate(state)
    batches = fetched.flat_map(_taken_apart)
    batches = batches.apply(tf.data.experimental.assert_cardinality(len(plan)))
    as_batch = partial(shaped, has_text_labels=collate.has_text_labels)
    return batches.map(as_batch, num_parallel_calls=tf.data.AUTOTUNE)


def _laid_end_to_end(
    steps: list[dict[str, np.ndarray]], collate: Collate | PackedCollate
) -> dict[str, np.ndarray]:
    """The arrays of several steps, each column in one, and where each step's end."""
    batches = [collate([step]) for step in steps]
    joined = {}
    for name in batches[0]:
        parts = [batch[name] for batch in batches]
        joined[name] = np.concatenate(parts)
        joined[_ENDS + name] = np.cumsum([len(part) for part in parts])
    return joined


def _taken_apart(joined: dict[str, tf.Tensor]) -> tf.data.Dataset:
    """The steps that were laid end to end."""
    columns = [name for name in joined if not name.startswith(_ENDS)]

    def step(number: tf.Tensor) -> dict[str, tf.Tensor]:
        taken = {}
        for name in columns:
            ends = joined[_ENDS + name]
            start = tf.where(number > 0, ends[tf.maximum(number - 1, 0)], 0)
            taken[name] = joined[name][start : ends[number]]
        return taken

    count = tf.size(joined[_ENDS + columns[0]], out_type=tf.int64)
    return tf.data.Dataset.range(count).map(step)


def shaped(flat: dict[str, tf.Tensor], has_text_labels: bool) -> dict[str, tf.Tensor]:
    """The flat columns as `[batch, length]` int32 with their attention mask."""
    lengths = flat["lengths"]
    shape = tf.stack([tf.size(lengths), -1])
    batch = {}
    for name, values in flat.items():
        if values.dtype.is_integer:
            values = tf.cast(values, tf.int32)
        if name in _TOKENS or (name == "labels" and has_text_labels):
            values = tf.reshape(values, shape)
        batch[name] = values
    del batch["lengths"]
    batch["attention_mask"] = tf.sequence_mask(
        lengths, tf.shape(batch["input_ids"])[1], dtype=tf.int32
    )
    return batch


def prefetched(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The batches made ahead, by a thread a core, without tf.data's tuner of that.

    The tuner sleeps ever longer, up to a minute, and the end of an iterator may have to
    wait until it wakes: at the end of every evaluation.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def with_static_shapes(
    shapes: dict[str, list[int]], batch: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """The batch with the sizes that `"fixed"` promises, for TPUs and XLA."""
    return {name: tf.ensure_shape(batch[name], shape) for name, shape in shapes.items()}
