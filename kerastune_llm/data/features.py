"""Rows to columns of token ids: cut to their maximal lengths, counted, cached."""

import hashlib
import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import datasets
from transformers import PreTrainedTokenizerBase

from kerastune_llm.data.cache import read_entry, write_entry
from kerastune_llm.data.encoding import (
    COUNTS,
    Encoder,
    encode,
    encoded_features,
    has_targets,
    targets,
    tokenizer_content,
)
from kerastune_llm.data.render import render_inputs, render_pairs
from kerastune_llm.data.truncation import TruncationReport
from kerastune_llm.errors import UserError
from kerastune_llm.remote import cache_folder
from kerastune_llm.tasks.task import Task

logger = logging.getLogger(__name__)

# Part of every key: raise it when the same rows come to give other columns.
FORMAT = 2
BATCH = 1000


@dataclass(frozen=True)
class Tokenised:
    """Token columns and what the cutting cost.

    Args:
        dataset: `input_ids`, `token_type_ids` where the tokenizer gives them, and
            `labels`: ids as `[length]` for text, a number, or for multilabel 0.0 or
            1.0 a label; rows of any length.
        truncation: Rows cut.
    """

    dataset: datasets.Dataset
    truncation: TruncationReport


def tokenise(
    rows: datasets.Dataset,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    *,
    as_text: bool,
    max_input_tokens: int | None = None,
    max_target_tokens: int | None = None,
    num_proc: int = 1,
    cache_dir: Path | None = None,
) -> Tokenised:
    """Token ids of rendered rows, from the cache when they were made before.

    The key is made from the rendered texts and labels, the tokenizer's own content and
    the lengths, so a changed file, template or tokenizer is never taken for another.

    Args:
        rows: Canonical rows of `load_rows`; without `target` or `label`, there are no
            `labels`.
        task: Gives the templates and the labels' names.
        tokenizer: A fast one is several times faster.
        as_text: Whether the answer is generated as text (of a labelled task: the
            label's name); otherwise `labels` are for a head.
        max_input_tokens: Length inputs are cut at, special tokens included; default:
            the task's.
        max_target_tokens: Length targets are cut at, the same way.
        num_proc: Processes; a fast tokenizer uses all cores from one.
        cache_dir: Default: `$KERASTUNE_CACHE`, or `~/.cache/kerastune`.

    Raises:
        UserError: Labels are not known yet, or the cache folder cannot be written.
    """
    _check_labels_known(rows, task)
    encoder = Encoder(
        task,
        tokenizer,
        as_text,
        max_input_tokens or task.max_input_tokens,
        max_target_tokens or task.max_target_tokens,
    )
    folder = _writable(cache_dir or cache_folder())
    key = _key(rows, encoder)
    cached = read_entry(folder, key)
    if cached is not None:
        dataset, counts = cached
        logger.info("%d rows tokenised before, cached in %s", len(rows), folder / key)
        return Tokenised(dataset, TruncationReport(len(rows), **counts))
    try:
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            file = Path(temporary) / "tokens.arrow"
            dataset = _encode_all(rows, encoder, key, file, num_proc)
            counts = {name: sum(dataset[name][:]) for name in COUNTS}
            dataset = dataset.remove_columns(list(COUNTS))
            dataset = write_entry(folder, key, dataset, counts)
    except OSError as error:
        raise _not_writable(folder, error) from error
    logger.info("%d rows tokenised, kept in %s", len(rows), folder / key)
    return Tokenised(dataset, TruncationReport(len(rows), **counts))


def _encode_all(
    rows: datasets.Dataset, encoder: Encoder, key: str, file: Path, num_proc: int
) -> datasets.Dataset:
    """All rows encoded into `file`, with the columns of `COUNTS`."""
    return rows.map(
        encode,
        batched=True,
        batch_size=BATCH,
        fn_kwargs={"encoder": encoder},
        remove_columns=rows.column_names,
        features=encoded_features(rows.column_names, encoder),
        num_proc=num_proc if num_proc > 1 else None,
        cache_file_name=str(file),
        load_from_cache_file=False,
        new_fingerprint=key,
        desc="Tokenising",
    )


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _not_writable(folder, error) from error
    return folder


def _not_writable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"The cache folder cannot be written ({error.strerror or error}).",
        received=str(folder),
        mend="free some space, or KERASTUNE_CACHE=/another/folder kerastune ...",
    )


def _check_labels_known(rows: datasets.Dataset, task: Task) -> None:
    if "label" not in rows.column_names:
        return
    feature = rows.features["label"]
    one = feature.feature if isinstance(feature, datasets.List) else feature
    if task.lacks_labels or one.dtype == "string":
        raise UserError(
            "The rows' labels are names still, not indices.",
            mend="labels = discover_labels(task, rows); "
            "rows = encode_labels(rows, labels); "
            "task = dataclasses.replace(task, labels=labels)",
        )


def _key(rows: datasets.Dataset, encoder: Encoder) -> str:
    digest = hashlib.blake2b(digest_size=16)
    facts = {
        "format": FORMAT,
        "tokenizer": tokenizer_content(encoder.tokenizer),
        "kind": encoder.task.kind,
        "as_text": encoder.as_text,
        "lengths": [encoder.max_input_tokens, encoder.max_target_tokens],
    }
    digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
    for batch in rows.iter(batch_size=BATCH):
        content: list = [render_inputs(encoder.task, batch, as_text=encoder.as_text)]
        content.append(render_pairs(encoder.task, batch, as_text=encoder.as_text))
        if has_targets(rows.column_names, encoder.task):
            content.append(targets(batch, encoder))
        digest.update(json.dumps(content).encode())
    return digest.hexdigest()
