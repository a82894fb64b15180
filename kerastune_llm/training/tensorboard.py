"""A run in TensorBoard."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerastune_llm.backend import tf
from kerastune_llm.errors import UserError
from kerastune_llm.training.callbacks import Logs, Metrics, MetricsLog

logger = logging.getLogger(__name__)

_TRAINING = (
    "loss",
    "learning_rate",
    "gradient_norm",
    "examples_per_second",
    "tokens_per_second",
)


class TensorBoardLog(MetricsLog):
    """Writes scalars `train/*` and `evaluation/*` and a text panel of predictions.

    Args:
        log_dir: Where the event file goes.
        every: Updates from one point of the curves to the next.
        steps_per_epoch: Updates in an epoch.
        samples: Called at each evaluation for the panel's rows, such as those of
            `predictions/`: mappings with `input`, `prediction` and `references`.

    Raises:
        UserError: TensorBoard is not installed; every `tf.summary` call would fail.
    """

    def __init__(
        self,
        log_dir: str | Path,
        *,
        every: int = 1,
        steps_per_epoch: int,
        samples: Callable[[], Sequence[Mapping[str, Any]]] | None = None,
    ) -> None:
        super().__init__(self._write, every=every, steps_per_epoch=steps_per_epoch)
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise UserError(
                "TensorBoard is not installed; TensorFlow does not bring it.",
                mend="pip install tensorboard",
            ) from error
        self._writer = tf.summary.create_file_writer(str(log_dir))
        self._samples = samples

    def on_evaluation(self, step: int, metrics: Metrics) -> None:
        """Write the metrics and the text panel."""
        super().on_evaluation(step, metrics)
        if self._samples is not None:
            with self._writer.as_default(step):
                tf.summary.text("predictions", markdown_table(self._samples()))
        self._writer.flush()

    def flush(self) -> None:
        """Put on the disk what TensorFlow holds back."""
        self._writer.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        # Evaluate may still write after this: flush, do not close.
        self._writer.flush()

    def _write(self, record: Mapping[str, Any]) -> None:
        scalars = {
            f"train/{name}": record[name] for name in _TRAINING if name in record
        }
        for name, value in record.get("evaluation", {}).items():
            scalars[f"evaluation/{name}"] = value
        with self._writer.as_default(record["step"]):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)


def cut_events(log_dir: Path, step: int, *, evaluation: bool) -> None:
    """Leave out of the curves what a run that goes on from `step` repeats.

    Every file is replaced by one that ends there.

    Args:
        log_dir: Where the event files are.
        step: The last update that stays.
        evaluation: Whether the evaluation after it stays, too.
    """
    for file in log_dir.glob("events.*"):
        kept = [x for x in _whole_records(file) if _stays(x, step, evaluation)]
        # TensorBoard would read any file with `tfevents` in its name.
        temporary = log_dir / ".cut"
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for record in kept:
                writer.write(record)
        temporary.replace(file)


def _whole_records(file: Path) -> Iterator[bytes]:
    """The records of an event file, up to one that a kill broke off."""
    try:
        for record in tf.data.TFRecordDataset(str(file)):
            yield record.numpy()
    except tf.errors.DataLossError:
        logger.info("the last record of %s is not whole", file)


def _stays(record: bytes, step: int, evaluation: bool) -> bool:
    event = tf.compat.v1.Event.FromString(record)
    if event.step != step:
        return event.step < step
    return evaluation or all(
        value.tag.startswith("train/") for value in event.summary.value
    )


def markdown_table(rows: Sequence[Mapping[str, Any]], width: int = 300) -> str:
    """Predictions as TensorBoard's text panel shows them.

    Args:
        rows: Mappings with `input`, `prediction` and `references`.
        width: Longest text of a cell, in characters.

    Example:
    >>> row = {"input": "a|b", "prediction": "x", "references": ["y"]}
    >>> print(markdown_table([row]))
    | input | prediction | references |
    |---|---|---|
    | a\\|b | x | y |
    """
    lines = ["| input | prediction | references |", "|---|---|---|"]
    for row in rows:
        references = " / ".join(str(reference) for reference in row["references"])
        texts = (row["input"], row["prediction"], references)
        cells = (_cell(str(text), width) for text in texts)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(text: str, width: int) -> str:
    shown = " ".join(text.split())
    shown = shown if len(shown) <= width else shown[: width - 1] + "…"
    return shown.replace("|", "\\|")
