"""Where things are, against the names written down from PyTorch's own modules."""

import pytest

from kerastune_llm.backend import transformers
from kerastune_llm.models.layout import layout_of
from tests.tiny_models import CLASSIFIERS, SEQ2SEQ, tiny

LAST_BLOCK = {
    "t5": "decoder.block.1",
    "t5-untied": "decoder.block.1",
    "mt5": "decoder.block.1",
    "led": "led.decoder.layers.1",
    **dict.fromkeys(
        (
            "bart",
            "mbart",
            "pegasus",
            "marian",
            "blenderbot",
            "blenderbot-small",
            "bart-classifier",
        ),
        "model.decoder.layers.1",
    ),
    "bert": "bert.encoder.layer.1",
    "distilbert": "distilbert.transformer.layer.1",
    "roberta": "roberta.encoder.layer.1",
    "xlm-roberta": "roberta.encoder.layer.1",
    "electra": "electra.encoder.layer.1",
    "albert": "albert.encoder.albert_layer_groups.0",
    "mpnet": "mpnet.encoder.layer.1",
    "deberta-v2": "deberta.encoder.layer.1",
    "roformer": "roformer.encoder.layer.1",
    "flaubert": "transformer.attentions.1",
    "gpt2": "transformer.h.1",
}
TWO_LAYER_HEAD = {
    "classifier.dense.weight",
    "classifier.dense.bias",
    "classifier.out_proj.weight",
    "classifier.out_proj.bias",
}
BART_HEAD = {"model.shared.weight", "final_logits_bias"}
HEAD = {
    "t5": {"shared.weight"},
    "t5-untied": {"lm_head.weight"},
    "mt5": {"lm_head.weight"},
    "led": {"led.shared.weight", "final_logits_bias"},
    **dict.fromkeys(
        ("bart", "mbart", "pegasus", "marian", "blenderbot", "blenderbot-small"),
        BART_HEAD,
    ),
    "bart-classifier": {
        "classification_head.dense.weight",
        "classification_head.dense.bias",
        "classification_head.out_proj.weight",
        "classification_head.out_proj.bias",
    },
    "bert": {"classifier.weight", "classifier.bias"},
    "albert": {"classifier.weight", "classifier.bias"},
    "distilbert": {
        "pre_classifier.weight",
        "pre_classifier.bias",
        "classifier.weight",
        "classifier.bias",
    },
    **dict.fromkeys(
        ("roberta", "xlm-roberta", "electra", "mpnet", "roformer"), TWO_LAYER_HEAD
    ),
    "deberta-v2": {
        "pooler.dense.weight",
        "pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    },
    "flaubert": {"sequence_summary.summary.weight", "sequence_summary.summary.bias"},
    "gpt2": {"score.weight"},
}
TIED = {"t5", "led", *(name for name, head in HEAD.items() if head is BART_HEAD)}
# PyTorch: `requires_grad` is False for these, and the bias is a buffer.
FIXED = {
    "pegasus": {
        "model.encoder.embed_positions.weight",
        "model.decoder.embed_positions.weight",
        "final_logits_bias",
    },
    "roformer": {"roformer.encoder.embed_positions.weight"},
    **dict.fromkeys(
        ("bart", "mbart", "led", "blenderbot", "blenderbot-small"),
        {"final_logits_bias"},
    ),
}
FIXED["marian"] = FIXED["pegasus"]


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CLASSIFIERS])
def test_layout(name):
    layout = layout_of(tiny(name))
    assert layout.head == HEAD[name]
    assert layout.head_is_tied == (name in TIED)
    assert layout.fixed == FIXED.get(name, set())
    assert layout.head_stack == (
        "decoder" if "decoder" in LAST_BLOCK[name] else "encoder"
    )
    assert layout.blocks[layout.head_stack][-1].name == LAST_BLOCK[name]
    count = 1 if name == "albert" else 2
    assert [len(blocks) for blocks in layout.blocks.values()] == [count] * len(
        layout.blocks
    )
    in_blocks = [p for bs in layout.blocks.values() for b in bs for p in b.parameters]
    assert len(in_blocks) == len(set(in_blocks))
    assert not layout.head & set(in_blocks)


# GPT-2 has one matrix for query, key and value, which no role names.
@pytest.mark.parametrize("name", sorted({*SEQ2SEQ, *CLASSIFIERS} - {"gpt2"}))
def test_every_block_has_its_roles(name):
    layout = layout_of(tiny(name))
    for blocks in layout.blocks.values():
        for block in blocks:
            for role in ("query", "key", "value", "output", "feed_forward"):
                modules = layout.roles[role]
                inside = [m for m in modules if f"{m}.weight" in block.parameters]
                assert inside, (block.name, role)


def test_roles_tell_the_two_output_layers_of_bert_apart():
    roles = layout_of(tiny("bert")).roles
    assert "bert.encoder.layer.0.attention.output.dense" in roles["output"]
    assert "bert.encoder.layer.0.output.dense" in roles["feed_forward"]
    assert len(roles["output"]) == 2


def test_what_follows_the_last_block():
    after = {
        name: layout_of(tiny(name)).after_blocks for name in ("t5", "bert", "gpt2")
    }
    assert after["t5"]["decoder"] == {"decoder.final_layer_norm.weight"}
    assert after["bert"]["encoder"] == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
    }
    assert after["gpt2"]["encoder"] == {
        "transformer.ln_f.weight",
        "transformer.ln_f.bias",
    }
    deberta = layout_of(tiny("deberta-v2"))
    assert not deberta.after_blocks["encoder"]
    assert deberta.parts["deberta.encoder.LayerNorm.weight"] == "encoder"


def test_parts_of_bart_and_t5():
    bart = layout_of(tiny("bart")).parts
    assert bart["model.shared.weight"] == "embeddings"
    assert bart["model.decoder.embed_positions.weight"] == "embeddings"
    assert bart["model.decoder.layers.0.encoder_attn.q_proj.bias"] == "decoder"
    assert bart["final_logits_bias"] == "head"
    t5 = layout_of(tiny("t5")).parts
    bias = "layer.0.SelfAttention.relative_attention_bias.weight"
    assert t5[f"encoder.block.0.{bias}"] == "encoder"
    assert t5[f"decoder.block.0.{bias}"] == "decoder"


def test_the_blocks_of_a_deep_stack_are_in_the_order_of_their_numbers():
    model = tiny("t5", num_layers=11, num_decoder_layers=1)
    names = [block.name for block in layout_of(model).blocks["encoder"]]
    assert names == [f"encoder.block.{index}" for index in range(11)]


def test_an_encoder_decoder_made_of_two_berts():
    bert = tiny("bert").config
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(bert, bert)
    model = transformers.TFEncoderDecoderModel(config)
    model.build_in_name_scope()
    layout = layout_of(model)
    head = "decoder.cls.predictions"
    assert layout.head == {
        "decoder.bert.embeddings.word_embeddings.weight",
        f"{head}.bias",
        f"{head}.transform.dense.weight",
        f"{head}.transform.dense.bias",
        f"{head}.transform.LayerNorm.weight",
        f"{head}.transform.LayerNorm.bias",
    }
    assert layout.head_is_tied
    assert layout.blocks["decoder"][1].name == "decoder.bert.encoder.layer.1"
    assert layout.blocks["encoder"][1].name == "encoder.encoder.layer.1"
    assert layout.parts["encoder.embeddings.word_embeddings.weight"] == "embeddings"
