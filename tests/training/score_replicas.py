"""Score rows with a model on several virtual devices and compare with one device.

python score_replicas.py KIND REPLICAS
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import datasets

from kerastune_llm.backend import tf
from kerastune_llm.data.features import tokenise
from kerastune_llm.tasks.custom import configure_task
from kerastune_llm.tasks.task import get_task
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.scoring import Scorer, Scores
from kerastune_llm.training.step import compile_model
from tests.tiny_models import spread, tiny, tiny_batch
from tests.tiny_tokenizers import fast_tokenizer

WORDS = ("nile", "river", "long dogs bark", "one two three four five", "egypt")
ROWS = 13


def score(kind: str, strategy: tf.distribute.Strategy, folder: Path) -> Scores:
    """The scores of 13 uneven rows, 4 at a time, after a step of training."""
    is_text = kind == "seq2seq"
    rows = {
        "id": [str(number) for number in range(ROWS)],
        "text": [WORDS[number % len(WORDS)] for number in range(ROWS)],
    }
    if is_text:
        rows |= {"target": ["one two"] * ROWS, "references": [["one two"]] * ROWS}
    else:
        rows |= {"label": [number % 3 for number in range(ROWS)]}
    target = {"target_template": "{target}"} if is_text else {"label_column": "label"}
    task = configure_task(
        get_task("custom"),
        kind=kind,
        input_template="{text}",
        **target,
        **({} if is_text else {"labels": ("a", "b", "c")}),
    )
    rows = datasets.Dataset.from_dict(rows)
    tokenizer = fast_tokenizer(with_types=False)
    done = tokenise(rows, task, tokenizer, as_text=is_text, cache_dir=folder)
    with strategy.scope():
        model = spread(tiny("t5" if is_text else "bert"), 0.3)
        compile_model(model, build_optimizer("sgd", learning_rate=0.0))
    batch = tf.data.Dataset.from_tensor_slices(tiny_batch(model)).batch(4)
    model.fit(batch, verbose=0)
    scorer = Scorer(
        model, tokenizer, task, as_text=is_text, batch_size=4, max_new_tokens=4
    )
    return scorer.score(rows, done.dataset)


def main() -> None:
    kind, replicas = sys.argv[1], int(sys.argv[2])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * replicas
    )
    devices = [f"CPU:{number}" for number in range(replicas)]
    with tempfile.TemporaryDirectory() as folder:
        several = score(kind, tf.distribute.MirroredStrategy(devices), Path(folder))
        one = score(kind, tf.distribute.get_strategy(), Path(folder))
    if [record["id"] for record in several.records] != [*map(str, range(ROWS))]:
        sys.exit(f"not every row once: {several.records}")
    if several != one:
        sys.exit(f"{several.metrics} instead of {one.metrics}")
    print(kind, replicas, one.metrics)


if __name__ == "__main__":
    main()
