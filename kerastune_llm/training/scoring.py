"""Answering rows with a model, and scoring the answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from transformers import PreTrainedTokenizerBase

from kerastune_llm.backend import keras, tf
from kerastune_llm.data.answers import answer_text, read_answer
from kerastune_llm.data.columns import number_column
from kerastune_llm.data.pipeline import build_dataset
from kerastune_llm.data.render import show_inputs
from kerastune_llm.data.windows import WINDOWS
from kerastune_llm.metrics.bootstrap import score_with_intervals
from kerastune_llm.metrics.scoring import row_score, score
from kerastune_llm.models.classification import Classifier, activated
from kerastune_llm.models.generation import Generator
from kerastune_llm.tasks.task import Task
from kerastune_llm.training.losses import loss_of
from kerastune_llm.training.mixture_scoring import score_mixture
from kerastune_llm.training.step import evaluate_loss
from kerastune_llm.training.trunk_cache import TrunkCache
from kerastune_llm.training.window_answers import best_answers

# A label is taken when it is more likely than not.
THRESHOLD = 0.5


@dataclass(frozen=True)
class Answers:
    """What a model answered, row by row.

    Args:
        texts: The answer; a label by its name, several with commas between.
        predictions: What metrics are given: the text; the label's index, -1 for a text
            that names none; several indices; or a number.
        probabilities: `[rows, labels]` from a head that has labels, else `None`.
        scores: How sure the model is of each row, `[rows]`, between 0 and 1: the
            probability of the label, or the geometric mean of those of the generated
            tokens where that was asked for; else `None`.
    """

    texts: list[str]
    predictions: list[Any]
    probabilities: np.ndarray | None = None
    scores: np.ndarray | None = None


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
        use_intervals: Whether metrics come with their 95 % intervals.

    Attributes:
        trunk: What a frozen trunk gives for the rows, where they are scored again and
            again. Texts are generated without it; see `keep_encoded`.
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
        use_intervals: bool = False,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.task = task
        self.as_text = as_text
        self.batch_size = batch_size
        self.trunk: TrunkCache | None = None
        self._score = score_with_intervals if use_intervals else score
        if as_text:
            self._generator = Generator(
                model,
                max_new_tokens=max_new_tokens,
                num_beams=num_beams,
                batch_size=batch_size,
                max_input_tokens=max_input_tokens,
            )
        else:
            self._classifier = Classifier(model)

    def keep_encoded(self, gigabytes: float) -> None:
        """Run an encoder that does not train once only for rows scored again and again.

        Args:
            gigabytes: Of what it gives, kept at most.
        """
        if self.as_text:
            self._generator.keep_encoded(gigabytes)

    def answer(
        self,
        tokenised: datasets.Dataset,
        on_batch: Callable[[int, int], None] | None = None,
        *,
        with_scores: bool = False,
    ) -> Answers:
        """The model's answers, in the order of the rows.

        Scores of generated texts take time of their own: they are made `with_scores`.
        Of a row with `windows` it is the answer to one of them; see `best_answers`.
        """
        if self.as_text:
            return self._generated(tokenised, on_batch, with_scores)
        return self._decided(self._logits(tokenised, on_batch))

    def score(
        self,
        rows: datasets.Dataset,
        tokenised: datasets.Dataset,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Scores:
        """Metrics over all rows, the token-weighted mean loss, and a record a row."""
        if self.as_text:
            answers = self._generated(tokenised, on_batch)
            loss = evaluate_loss(self.model, self._batches(tokenised))
        else:
            logits = self._logits(tokenised, on_batch)
            answers = self._decided(logits)
            labels = tf.constant(number_column(tokenised, "labels"))
            losses = loss_of(self.model)(labels, tf.constant(logits))
            loss = float(tf.reduce_mean(losses))
        references = self._references(rows)
        metrics, row_scores = self._judge(rows, answers, references)
        metrics["loss"] = loss
        records = [
            {
                "id": row_id,
                "input": text,
                "prediction": answer,
                "references": self._reference_texts(reference),
                "score": own_score,
            }
            for row_id, text, answer, reference, own_score in zip(
                rows["id"],
                show_inputs(self.task, rows, as_text=self.as_text),
                answers.texts,
                references,
                row_scores,
                strict=True,
            )
        ]
        return Scores(metrics, records)

    def _generated(
        self,
        tokenised: datasets.Dataset,
        on_batch: Callable[[int, int], None] | None,
        with_scores: bool = False,
    ) -> Answers:
        inputs, scores, counts = tokenised["input_ids"], None, None
        if WINDOWS in tokenised.column_names:
            counts = [len(windows) for windows in tokenised[WINDOWS]]
            inputs = [ids for windows in tokenised[WINDOWS] for ids in windows]
        if with_scores or counts:
            ids, scores = self._generator.scored(inputs, on_batch=on_batch)
        else:
            ids = self._generator(inputs, on_batch=on_batch)
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        texts = [text.strip() for text in texts]
        if counts:
            best = best_answers(texts, scores, counts)
            texts, scores = best.texts, best.scores
        predictions = [read_answer(self.task, text) for text in texts]
        return Answers(texts, predictions, scores=scores)

    def _logits(
        self,
        tokenised: datasets.Dataset,
        on_batch: Callable[[int, int], None] | None,
    ) -> np.ndarray:
        batches = self._batches(tokenised, with_rows=True)
        return self._classifier(batches, rows=len(tokenised), on_batch=on_batch)

    def _decided(self, logits: np.ndarray) -> Answers:
        """What a head's logits `[rows, labels]` say."""
        values = activated(self.task.kind, logits)
        predictions = _decide(self.task, values)
        texts = [_shown(self.task, prediction) for prediction in predictions]
        is_number = self.task.kind == "regression"
        return Answers(
            texts,
            predictions,
            probabilities=None if is_number else values,
            scores=values.max(axis=-1) if self.task.kind == "classification" else None,
        )

    def _batches(
        self, tokenised: datasets.Dataset, *, with_rows: bool = False
    ) -> tf.data.Dataset:
        strategy = self.model.distribute_strategy
        is_static = isinstance(strategy, tf.distribute.TPUStrategy)
        batches = build_dataset(
            tokenised,
            tokenizer=self.tokenizer,
            batch_size=self.batch_size,
            shuffle=False,
            batching="fixed" if is_static else "bucket",
            with_rows=with_rows or self.trunk is not None,
            with_counted=is_static,
        )
        if self.trunk is None:
            return batches
        return self.trunk.add_to(batches, with_rows=with_rows)

    def _judge(
        self, rows: datasets.Dataset, answers: Answers, references: Sequence[Any]
    ) -> tuple[dict[str, float], list[float]]:
        """Metrics over all rows, and the score of each."""
        if self.task.members:
            return score_mixture(self.task, answers.texts, rows, self._score)
        names, predictions = self.task.metrics, answers.predictions
        pairs = zip(predictions, references, strict=True)
        return self._score(names, predictions, references), [
            row_score(names, prediction, reference) for prediction, reference in pairs
        ]

    def _references(self, rows: datasets.Dataset) -> Sequence[Any]:
        return list(rows["label" if self.task.has_labels else "references"])

    def _reference_texts(self, reference: Any) -> list[str]:
        if self.task.has_labels:
            return [_shown(self.task, reference)]
        return list(reference)


def _shown(task: Task, label: Any) -> str:
    """A label for people: unlike a generated one, a number keeps four digits."""
    return f"{label:.4g}" if task.kind == "regression" else answer_text(task, label)


def _decide(task: Task, values: np.ndarray) -> list[Any]:
    """A head's answers `[rows, labels]` as metrics are given them."""
    if task.kind == "regression":
        return values[:, 0].tolist()
    if task.kind == "multilabel":
        return [np.flatnonzero(row > THRESHOLD).tolist() for row in values]
    return values.argmax(axis=-1).tolist()
