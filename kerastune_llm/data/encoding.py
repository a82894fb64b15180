"""A batch of rows to token ids, and what the ids depend on."""

import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from transformers import AddedToken, BatchEncoding, PreTrainedTokenizerBase

from kerastune_llm.data.render import render_inputs, render_pairs, render_targets
from kerastune_llm.tasks.task import Task

# Flags of each row, summed up in the TruncationReport's fields of the same names.
COUNTS = ("inputs_cut", "answers_lost", "targets_cut")


@dataclass(frozen=True)
class Encoder:
    """All that the ids depend on besides the rows; see `tokenise` for the fields."""

    task: Task
    tokenizer: PreTrainedTokenizerBase
    as_text: bool
    max_input_tokens: int
    max_target_tokens: int


def has_targets(columns: Collection[str], task: Task) -> bool:
    """Whether rows with these columns say what is to be learned."""
    return ("label" if task.has_labels else "target") in columns


def encoded_features(columns: Collection[str], encoder: Encoder) -> datasets.Features:
    """The types of the columns of `encode`, for rows with these columns."""
    ids = datasets.List(datasets.Value("int32"))
    features = {"input_ids": ids}
    if "token_type_ids" in encoder.tokenizer.model_input_names:
        features["token_type_ids"] = ids
    if has_targets(columns, encoder.task):
        features["labels"] = ids if encoder.as_text else _head_feature(encoder.task)
    return datasets.Features(
        features | {name: datasets.Value("bool") for name in COUNTS}
    )


def _head_feature(task: Task) -> datasets.Value | datasets.List:
    number = datasets.Value("float32")
    heads = {"regression": number, "multilabel": datasets.List(number)}
    return heads.get(task.kind, datasets.Value("int32"))


def targets(batch: Mapping[str, Sequence[Any]], encoder: Encoder) -> Sequence[Any]:
    """Target texts, or what a head is trained on: 0 or 1 a label for multilabel."""
    task = encoder.task
    if encoder.as_text:
        return render_targets(task, batch)
    if task.kind != "multilabel":
        return batch["label"]
    every = range(len(task.labels))
    return [[float(index in chosen) for index in every] for chosen in batch["label"]]


def encode(batch: Mapping[str, Sequence[Any]], encoder: Encoder) -> dict[str, list]:
    """Columns of a batch of rows, with a flag a row for each of `COUNTS`."""
    task, tokenizer = encoder.task, encoder.tokenizer
    texts = render_inputs(task, batch, as_text=encoder.as_text)
    pairs = render_pairs(task, batch, as_text=encoder.as_text)
    limit = encoder.max_input_tokens
    inputs = tokenizer(texts, pairs, truncation=True, max_length=limit)
    cut = _cut(inputs, texts, tokenizer, limit, pairs)
    names = [name for name in ("input_ids", "token_type_ids") if name in inputs]
    columns = {name: inputs[name] for name in names}
    none = [False] * len(texts)
    columns |= {"inputs_cut": cut, "answers_lost": none, "targets_cut": none}
    if not has_targets(batch, task):
        return columns
    answers = targets(batch, encoder)
    if not encoder.as_text:
        return columns | {"labels": answers}
    limit = encoder.max_target_tokens
    labels = tokenizer(text_target=answers, truncation=True, max_length=limit)
    columns["labels"] = labels["input_ids"]
    columns["targets_cut"] = _cut(labels, answers, tokenizer, limit)
    if not task.has_labels:
        columns["answers_lost"] = [
            is_cut
            and answer != ""
            and answer in texts[row]
            and answer not in _kept_text(inputs, row, texts[row], tokenizer)
            for row, (is_cut, answer) in enumerate(zip(cut, answers, strict=True))
        ]
    return columns


def _cut(
    encoded: BatchEncoding,
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    limit: int,
    pairs: Sequence[str] | None = None,
) -> list[bool]:
    """Whether each text, with its pair, lost tokens."""
    if encoded.encodings is not None:
        return [bool(encoding.overflowing) for encoding in encoded.encodings]
    full = [len(ids) >= limit for ids in encoded["input_ids"]]
    seconds = pairs or [None] * len(texts)
    return [
        is_full and len(tokenizer(text, pair)["input_ids"]) > limit
        for is_full, text, pair in zip(full, texts, seconds, strict=True)
    ]


def _kept_text(
    encoded: BatchEncoding, row: int, text: str, tokenizer: PreTrainedTokenizerBase
) -> str:
    """The part of `text` whose tokens were kept.

    A slow tokenizer knows no offsets: there it is what the kept ids decode to, which
    may differ in white space or letter case.
    """
    if encoded.encodings is None:
        return tokenizer.decode(encoded["input_ids"][row], skip_special_tokens=True)
    return text[: max(end for _, end in encoded.encodings[row].offsets)]


def tokenizer_content(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """All that decides a tokenizer's ids, as values for json.

    Neither the folder it was read from nor what an earlier call left set in it.
    """
    options = {
        name: str(value)
        for name, value in sorted(tokenizer.init_kwargs.items())
        if isinstance(value, str | int | float | AddedToken)
        and not name.endswith(("_file", "_path", "_spm", "vocab"))
    }
    content = {
        "class": type(tokenizer).__name__,
        "inputs": list(tokenizer.model_input_names),
        "side": tokenizer.truncation_side,
        "options": options,
    }
    if tokenizer.is_fast:
        backend = json.loads(tokenizer.backend_tokenizer.to_str())
        backend["truncation"] = backend["padding"] = None
        return content | {"backend": backend}
    return content | {"vocabulary": _vocabulary_digests(tokenizer)}


def _vocabulary_digests(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Digests of a slow tokenizer's own files, and its added tokens."""
    digests = {"added": str(tokenizer.get_added_vocab())}
    with tempfile.TemporaryDirectory() as folder:
        for file in sorted(map(Path, tokenizer.save_vocabulary(folder))):
            digests[file.name] = hashlib.blake2b(file.read_bytes()).hexdigest()
    return digests
