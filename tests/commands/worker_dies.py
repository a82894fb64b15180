"""The command line, but after update 7 one process is sent a signal.

python worker_dies.py WHO CONFIG

WHO is the number of a worker, which is killed, or `launcher`: what started the workers
gets SIGTERM, as a machine that is taken back does.
"""

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import kerastune_llm
from kerastune_llm.backend import keras
from kerastune_llm.cli import main
from kerastune_llm.training.callbacks import completed_steps

LAST = 7
INTERRUPTED = 130


class Send(keras.callbacks.Callback):
    def __init__(self, process: int, number: signal.Signals) -> None:
        super().__init__()
        self.process, self.number = process, number

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if completed_steps(self.model) == LAST:
            os.kill(self.process, self.number)


if __name__ == "__main__":
    who, config = sys.argv[1:]
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    send = None
    if who == str(index):
        send = Send(os.getpid(), signal.SIGKILL)
    elif who == "launcher" and index == 0:
        send = Send(os.getppid(), signal.SIGTERM)
    if send is None:
        sys.exit(main(["train", "--config", config]))
    values = json.loads(Path(config).read_text())
    result = kerastune_llm.train(values, callbacks=[send])
    sys.exit(INTERRUPTED if result.interrupted else 0)
