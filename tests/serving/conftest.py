"""An exported model, made once: a tiny classifier of pairs of texts."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from transformers import BertTokenizerFast

from kerastune_llm.backend import tf
from kerastune_llm.serving.export import export_savedmodel
from kerastune_llm.serving.graph import Service
from kerastune_llm.serving.parity import Examples
from kerastune_llm.tasks.task import get_task
from tests.tiny_models import spread, tiny

PAIRS = {"sentence1": ["dogs bark .", "", "bark"], "sentence2": ["bark", "dogs", "."]}
LABELS = ("no", "yes", "perhaps")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dogs", "bark", "##s", "."]


@dataclass(frozen=True)
class Exported:
    """`folder` holds `pairs/1` and the same again as `pairs/2`.

    `probabilities` `[rows, labels]` of PAIRS are those of the Python pipeline.
    """

    folder: Path
    probabilities: list[list[float]]


@pytest.fixture(scope="session")
def pairs(tmp_path_factory) -> Exported:
    folder = tmp_path_factory.mktemp("served")
    probabilities = export_pairs(folder)
    shutil.copytree(folder / "pairs/1", folder / "pairs/2")
    return Exported(folder, probabilities)


def export_pairs(folder: Path) -> list[list[float]]:
    vocabulary = folder.parent / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS))
    tokenizer = BertTokenizerFast(vocab_file=str(vocabulary))
    model = spread(tiny("bert"))
    encoded = tokenizer(*PAIRS.values(), truncation=True, max_length=16)
    padded = tokenizer.pad(encoded, return_tensors="tf")
    values = tf.nn.softmax(model(dict(padded)).logits).numpy()
    task = replace(get_task("mrpc"), labels=LABELS)
    examples = Examples(PAIRS, encoded["input_ids"], values=values)
    service = Service(task, False, max_input_tokens=16)
    export_savedmodel(
        model, tokenizer, service, folder, name="pairs", examples=examples
    )
    return values.tolist()
