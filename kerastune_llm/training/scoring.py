"""Answering rows with a model, and scoring the answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from transformers import PreTrainedTokenizerBase

from kerastune_llm.backend import keras
from kerastune_llm.data.pipeline import build_dataset
from kerastune_llm.data.render import render_inputs
from kerastune_llm.metrics.scoring import row_score, score
from kerastune_llm.models.classification import Classifier
from kerastune_llm.models.generation import Generator
from kerastune_llm.tasks.task import Task
from kerastune_llm.training.step import evaluate_loss

OUTSIDE_LABELS = -1


@dataclass(frozen=True)
class Answers:
    """What a model answered, row by row.

    Args:
        texts: The answer, or the label's name.
        labels: The label's index, -1 for a text that names none; `None` for seq2seq.
        probabilities: `[rows, labels]` from a classification head, else `None`.
    """

    texts: list[str]
    labels: list[int] | None = None
    probabilities: np.ndarray | None = None


@dataclass(frozen=True)
class Scores:
    """Metrics by flat name, and one record a row as `predictions/` holds them."""

    metrics: dict[str, float]
    records: list[dict[str, Any]]


class Scorer:
    """Answers and scores rows with one model; compiles once and follows its weights.

    Args:
        model: The model; later changes of its weights are seen.
        tokenizer: Its tokenizer.
        task: The task, its labels known.
        as_text: Whether the model generates the answer rather than choosing a label.
        batch_size: Rows at a time.
        num_beams: 1 is greedy.
        max_new_tokens: Longest answer, in tokens.
        max_input_tokens: Longest input, in tokens.
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        *,
        as_text: bool,
        batch_size: int = 16,
        num_beams: int = 1,
        max_new_tokens: int = 32,
        max_input_tokens: int = 512,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.task = task
        self.as_text = as_text
        self.batch_size = batch_size
        if as_text:
            self._model_answers = Generator(
                model,
                max_new_tokens=max_new_tokens,
                num_beams=num_beams,
                batch_size=batch_size,
                max_input_tokens=max_input_tokens,
            )
        else:
            self._model_answers = Classifier(
                model,
                pad_token_id=tokenizer.pad_token_id,
                batch_size=batch_size,
                max_input_tokens=max_input_tokens,
            )

    def answer(
        self,
        tokenised: datasets.Dataset,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Answers:
        """The model's answers, in the order of the rows."""
        if self.as_text:
            ids = self._model_answers(tokenised["input_ids"], on_batch=on_batch)
            texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
            texts = [text.strip() for text in texts]
            if not self.task.has_labels:
                return Answers(texts)
            names = {name: index for index, name in enumerate(self.task.labels)}
            return Answers(texts, [names.get(text, OUTSIDE_LABELS) for text in texts])
        columns = {
            name: tokenised[name]
            for name in ("input_ids", "token_type_ids")
            if name in tokenised.column_names
        }
        probabilities = self._model_answers(columns, on_batch=on_batch)
        labels = probabilities.argmax(axis=-1).tolist()
        texts = [self.task.labels[label] for label in labels]
        return Answers(texts, labels, probabilities)

    def score(
        self,
        rows: datasets.Dataset,
        tokenised: datasets.Dataset,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Scores:
        """Metrics over all rows, the token-weighted mean loss, and a record a row."""
        answers = self.answer(tokenised, on_batch)
        references = self._references(rows)
        predictions = answers.texts if answers.labels is None else answers.labels
        metrics = score(self.task.metrics, predictions, references)
        batches = build_dataset(
            tokenised,
            tokenizer=self.tokenizer,
            batch_size=self.batch_size,
            shuffle=False,
            batching="bucket",
        )
        metrics["loss"] = float(evaluate_loss(self.model, batches))
        records = [
            {
                "id": row_id,
                "input": text,
                "prediction": answer,
                "references": self._reference_texts(reference),
                "score": row_score(self.task.metrics, prediction, reference),
            }
            for row_id, text, answer, prediction, reference in zip(
                rows["id"],
                render_inputs(self.task, rows, as_text=self.as_text),
                answers.texts,
                predictions,
                references,
                strict=True,
            )
        ]
        return Scores(metrics, records)

    def _references(self, rows: datasets.Dataset) -> Sequence[Any]:
        return list(rows["label" if self.task.has_labels else "references"])

    def _reference_texts(self, reference: Any) -> list[str]:
        if self.task.has_labels:
            return [self.task.labels[reference]]
        return list(reference)
