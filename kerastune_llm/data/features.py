"""Rows to columns of token ids: cut to their maximal lengths, counted, cached."""

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from transformers import BatchEncoding, PreTrainedTokenizerBase

from kerastune_llm.data.cache import cache_folder, read_entry, write_entry
from kerastune_llm.data.render import render_inputs, render_targets
from kerastune_llm.data.truncation import TruncationReport, describe_truncation
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import Task

__all__ = ["Tokenised", "TruncationReport", "describe_truncation", "tokenise"]

logger = logging.getLogger(__name__)

# Part of every key: raise it when the same rows come to give other columns.
FORMAT = 1
BATCH = 1000
COUNTS = ("inputs_cut", "answers_lost", "targets_cut")


@dataclass(frozen=True)
class Tokenised:
    """Token columns and what the cutting cost.

    Args:
        dataset: `input_ids`, `token_type_ids` where the tokenizer gives them, and
            `labels`: ids as `[length]` for text, or a number; rows of any length.
        truncation: Rows cut.
    """

    dataset: datasets.Dataset
    truncation: TruncationReport


@dataclass(frozen=True)
class _Encoder:
    """All that the columns depend on besides the rows."""

    task: Task
    tokenizer: PreTrainedTokenizerBase
    as_text: bool
    max_input_tokens: int
    max_target_tokens: int


def tokenise(
    rows: datasets.Dataset,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    *,
    as_text: bool,
    max_input_tokens: int,
    max_target_tokens: int,
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
            label's name); otherwise `labels` are label indices.
        max_input_tokens: Length inputs are cut at, special tokens included.
        max_target_tokens: Length targets are cut at, special tokens included.
        num_proc: Processes; a fast tokenizer uses all cores from one.
        cache_dir: Default: `$KERASTUNE_CACHE`, or `~/.cache/kerastune`.

    Raises:
        UserError: Labels are not known yet, or the cache folder cannot be written.
    """
    _check_labels_known(rows, task)
    encoder = _Encoder(task, tokenizer, as_text, max_input_tokens, max_target_tokens)
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
    rows: datasets.Dataset, encoder: _Encoder, key: str, file: Path, num_proc: int
) -> datasets.Dataset:
    """All rows encoded into `file`, with the columns of `COUNTS`."""
    return rows.map(
        _encode,
        batched=True,
        batch_size=BATCH,
        fn_kwargs={"encoder": encoder},
        remove_columns=rows.column_names,
        features=_features(rows, encoder),
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
    if task.kind != "classification" or "label" not in rows.column_names:
        return
    if not task.labels or rows.features["label"].dtype == "string":
        raise UserError(
            "The rows' labels are names still, not indices.",
            mend="labels = discover_labels(task, rows); "
            "rows = encode_labels(rows, labels); "
            "task = dataclasses.replace(task, labels=labels)",
        )


def _has_labels(rows: datasets.Dataset, task: Task) -> bool:
    return ("label" if task.has_labels else "target") in rows.column_names


def _features(rows: datasets.Dataset, encoder: _Encoder) -> datasets.Features:
    ids = datasets.List(datasets.Value("int32"))
    features = {"input_ids": ids}
    if "token_type_ids" in encoder.tokenizer.model_input_names:
        features["token_type_ids"] = ids
    if _has_labels(rows, encoder.task):
        is_number = encoder.task.kind == "regression"
        label = datasets.Value("float32" if is_number else "int32")
        features["labels"] = ids if encoder.as_text else label
    return datasets.Features(
        features | {name: datasets.Value("bool") for name in COUNTS}
    )


def _key(rows: datasets.Dataset, encoder: _Encoder) -> str:
    digest = hashlib.blake2b(digest_size=16)
    facts = {
        "format": FORMAT,
        "tokenizer": _tokenizer_content(encoder.tokenizer),
        "kind": encoder.task.kind,
        "as_text": encoder.as_text,
        "lengths": [encoder.max_input_tokens, encoder.max_target_tokens],
    }
    digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
    for batch in rows.iter(batch_size=BATCH):
        content = [render_inputs(encoder.task, batch, as_text=encoder.as_text)]
        if _has_labels(rows, encoder.task):
            content.append(_targets(batch, encoder))
        digest.update(json.dumps(content).encode())
    return digest.hexdigest()


def _tokenizer_content(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """All that decides a tokenizer's ids, without what a call leaves behind in it."""
    content = {
        "class": type(tokenizer).__name__,
        "inputs": list(tokenizer.model_input_names),
        "sides": [tokenizer.truncation_side, tokenizer.padding_side],
        "options": tokenizer.init_kwargs,
    }
    if tokenizer.is_fast:
        backend = json.loads(tokenizer.backend_tokenizer.to_str())
        backend["truncation"] = backend["padding"] = None
        return content | {"backend": backend}
    return content | {"vocabulary": tokenizer.get_vocab()}


def _targets(batch: Mapping[str, Sequence[Any]], encoder: _Encoder) -> Sequence[Any]:
    """Target texts, or labels for a head."""
    return render_targets(encoder.task, batch) if encoder.as_text else batch["label"]


def _encode(batch: Mapping[str, Sequence[Any]], encoder: _Encoder) -> dict[str, list]:
    """Columns of a batch of rows, with a flag a row for each of `COUNTS`."""
    task, tokenizer = encoder.task, encoder.tokenizer
    texts = render_inputs(task, batch, as_text=encoder.as_text)
    inputs = tokenizer(texts, truncation=True, max_length=encoder.max_input_tokens)
    cut = _cut(inputs, texts, tokenizer, encoder.max_input_tokens)
    names = [name for name in ("input_ids", "token_type_ids") if name in inputs]
    columns = {name: inputs[name] for name in names}
    none = [False] * len(texts)
    columns |= {"inputs_cut": cut, "answers_lost": none, "targets_cut": none}
    has_labels = ("label" if task.has_labels else "target") in batch
    if not has_labels:
        return columns
    targets = _targets(batch, encoder)
    if not encoder.as_text:
        return columns | {"labels": targets}
    limit = encoder.max_target_tokens
    labels = tokenizer(text_target=targets, truncation=True, max_length=limit)
    columns["labels"] = labels["input_ids"]
    columns["targets_cut"] = _cut(labels, targets, tokenizer, limit)
    if not task.has_labels:
        columns["answers_lost"] = [
            is_cut
            and target != ""
            and target in texts[row]
            and target not in _kept_text(inputs, row, texts[row], tokenizer)
            for row, (is_cut, target) in enumerate(zip(cut, targets, strict=True))
        ]
    return columns


def _cut(
    encoded: BatchEncoding,
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    limit: int,
) -> list[bool]:
    """Whether each text lost tokens."""
    if encoded.encodings is not None:
        return [bool(encoding.overflowing) for encoding in encoded.encodings]
    full = [len(ids) >= limit for ids in encoded["input_ids"]]
    return [
        is_full and len(tokenizer(text)["input_ids"]) > limit
        for is_full, text in zip(full, texts, strict=True)
    ]


def _kept_text(
    encoded: BatchEncoding, row: int, text: str, tokenizer: PreTrainedTokenizerBase
) -> str:
    """The part of `text` whose tokens were kept."""
    if encoded.encodings is None:
        return tokenizer.decode(encoded["input_ids"][row], skip_special_tokens=True)
    return text[: max(end for _, end in encoded.encodings[row].offsets)]
