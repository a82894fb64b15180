"""`train --config CONFIG`, but worker 1 dies after update 7.

python worker_dies.py CONFIG
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


class Die(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if completed_steps(self.model) == LAST:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    if index == 1:
        values = json.loads(Path(sys.argv[1]).read_text())
        kerastune_llm.train(values, callbacks=[Die()])
    sys.exit(main(["train", "--config", sys.argv[1]]))
