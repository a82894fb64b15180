"""Applying a method: checks first, repeatable, the table it returns."""

import pytest

from kerastune_llm.backend import transformers
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.freezing import Freeze, LastN
from kerastune_llm.models.layout import layout_of
from tests.tiny_models import tiny


def trained(model) -> list[str]:
    return [variable.name for variable in model.trainable_variables]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("last_n", {"blocks": 3}),
        ("last_n", {"blocks": "none"}),
        ("freeze", {"train": "lm_head,nowhere"}),
        ("nothing", {}),
        (LastN(blocks=1), {"blocks": 2}),
    ],
)
def test_a_failed_check_leaves_the_model_as_it_was(method, options):
    model = tiny("t5-untied")
    apply_method(model, "freeze", train="decoder.block.0")
    before = trained(model)
    with pytest.raises(UserError):
        apply_method(model, method, **options)
    assert trained(model) == before


def test_applying_another_method_replaces_the_first():
    model = tiny("t5")
    full = apply_method(model, "full")
    everything = trained(model)
    head = apply_method(model, "head")
    assert model.trainable_variables == model.shared.weights
    assert apply_method(model, "head") == head
    assert apply_method(model, "full") == full
    assert trained(model) == everything


def test_the_table_counts_by_part():
    model = tiny("bert")
    table = apply_method(model, LastN(blocks=1))
    by_part = {row.part: (row.total, row.trainable) for row in table.rows}
    width, inner, labels = 16, 32, 3
    # four projections, two feed-forward layers, two norms
    block = 4 * (width + 1) * width + (width + 1) * inner + (inner + 1) * width
    block += 4 * width
    pooler, head = (width + 1) * width, (width + 1) * labels
    assert by_part["encoder"] == (2 * block + pooler, block + pooler)
    assert by_part["head"] == (head, head)
    assert by_part["embeddings"][1] == 0
    assert table.trainable == block + pooler + head
    assert table.percent == pytest.approx(100 * table.trainable / table.total)


def test_a_method_works_on_the_model_it_left():
    model = tiny("t5-untied")
    apply_method(model, Freeze(train=("lm_head",)))
    table = apply_method(model, "last_n", blocks=2)
    layout = layout_of(model)
    decoder = {row.part: row for row in table.rows}["decoder"]
    assert decoder.trainable == decoder.total
    assert layout.blocks["decoder"][0].name == "decoder.block.0"


def test_an_unbuilt_model_is_refused():
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    model = transformers.TFBertForSequenceClassification(config)
    with pytest.raises(UserError, match="build_in_name_scope"):
        apply_method(model, "full")
