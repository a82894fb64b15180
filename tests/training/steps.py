"""A callback that keeps what every step logged."""

from kerastune_llm.backend import keras
from kerastune_llm.training.execution import finished_updates


class Steps(keras.callbacks.Callback):
    """`logs` holds one mapping a step."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[dict] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.logs += [dict(own) for _, own in finished_updates(self.model, logs)]
