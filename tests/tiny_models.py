"""Tiny models with random weights, one per architecture, for the tests of the package.

`tiny("t5")` builds a two-layer model of width 16 over a vocabulary of 64. The names
are the keys of `SEQ2SEQ` and `CLASSIFIERS`; tests are parametrised over them.
"""

import warnings
from collections.abc import Mapping

import numpy as np

from kerastune_llm.backend import keras, tf, transformers
from kerastune_llm.models.torch_layout import torch_parameters

VOCABULARY = 64

_T5 = {
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 2,
    "num_heads": 2,
    "decoder_start_token_id": 0,
}
_BART = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 2,
}
# Marian starts decoding with its padding token, which is the last of the vocabulary.
_MARIAN = {
    **_BART,
    "pad_token_id": 63,
    "eos_token_id": 0,
    "bos_token_id": None,
    "decoder_start_token_id": 63,
    "forced_eos_token_id": 0,
    "bad_words_ids": [[63]],
}
_PEGASUS = {
    **_BART,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
    "forced_eos_token_id": 1,
}
_LED = {
    **{key: value for key, value in _BART.items() if key != "max_position_embeddings"},
    "attention_window": 4,
    "max_encoder_position_embeddings": 64,
    "max_decoder_position_embeddings": 64,
}
_BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
_DISTILBERT = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
_GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "pad_token_id": 0}
_XLM = {"emb_dim": 16, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 64}

SEQ2SEQ: Mapping[str, tuple[str, str, dict]] = {
    "t5": ("T5Config", "TFT5ForConditionalGeneration", _T5),
    "t5-untied": (
        "T5Config",
        "TFT5ForConditionalGeneration",
        {**_T5, "tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"},
    ),
    "mt5": (
        "MT5Config",
        "TFMT5ForConditionalGeneration",
        {**_T5, "tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"},
    ),
    "bart": ("BartConfig", "TFBartForConditionalGeneration", _BART),
    "mbart": (
        "MBartConfig",
        "TFMBartForConditionalGeneration",
        {**_BART, "forced_bos_token_id": 5},
    ),
    "pegasus": ("PegasusConfig", "TFPegasusForConditionalGeneration", _PEGASUS),
    "marian": ("MarianConfig", "TFMarianMTModel", _MARIAN),
    "blenderbot": (
        "BlenderbotConfig",
        "TFBlenderbotForConditionalGeneration",
        _BART,
    ),
    "blenderbot-small": (
        "BlenderbotSmallConfig",
        "TFBlenderbotSmallForConditionalGeneration",
        _BART,
    ),
    "led": ("LEDConfig", "TFLEDForConditionalGeneration", _LED),
}

CLASSIFIERS: Mapping[str, tuple[str, str, dict]] = {
    "bert": ("BertConfig", "TFBertForSequenceClassification", _BERT),
    "distilbert": (
        "DistilBertConfig",
        "TFDistilBertForSequenceClassification",
        _DISTILBERT,
    ),
    "roberta": ("RobertaConfig", "TFRobertaForSequenceClassification", _BERT),
    "xlm-roberta": ("XLMRobertaConfig", "TFXLMRobertaForSequenceClassification", _BERT),
    "electra": (
        "ElectraConfig",
        "TFElectraForSequenceClassification",
        {**_BERT, "embedding_size": 8},
    ),
    "albert": (
        "AlbertConfig",
        "TFAlbertForSequenceClassification",
        {**_BERT, "embedding_size": 8},
    ),
    "mpnet": ("MPNetConfig", "TFMPNetForSequenceClassification", _BERT),
    "deberta-v2": (
        "DebertaV2Config",
        "TFDebertaV2ForSequenceClassification",
        {
            **_BERT,
            "relative_attention": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "pos_att_type": ["c2p", "p2c"],
        },
    ),
    "bart-classifier": (
        "BartConfig",
        "TFBartForSequenceClassification",
        _BART,
    ),
    "roformer": ("RoFormerConfig", "TFRoFormerForSequenceClassification", _BERT),
    "flaubert": ("FlaubertConfig", "TFFlaubertForSequenceClassification", _XLM),
    "gpt2": ("GPT2Config", "TFGPT2ForSequenceClassification", _GPT2),
}


def tiny(
    name: str, *, seed: int = 0, num_labels: int = 3, **changes: object
) -> keras.Model:
    """A built model of the architecture `name`, its weights drawn from `seed`.

    `changes` override fields of the configuration.
    """
    config_name, model_name, options = {**SEQ2SEQ, **CLASSIFIERS}[name]
    if name in CLASSIFIERS:
        options = {**options, "num_labels": num_labels}
    config_class = getattr(transformers, config_name)
    config = config_class(**{"vocab_size": VOCABULARY, **options, **changes})
    keras.utils.set_random_seed(seed)
    with warnings.catch_warnings():
        # transformers hands one unseeded initializer to several layers, and Flaubert
        # uses an embedding announced for deletion: neither is ours to mend.
        warnings.filterwarnings("ignore", message="The initializer .* is unseeded")
        warnings.filterwarnings("ignore", message="`TFSharedEmbeddings`")
        model = getattr(transformers, model_name)(config)
        model.build_in_name_scope()
    return model


def tiny_batch(
    model: keras.Model, *, rows: int = 4, length: int = 8, seed: int = 1
) -> dict[str, tf.Tensor]:
    """Inputs and labels: `input_ids`, `attention_mask` `[rows, length]`, `labels`.

    Labels are `[rows, 5]` tokens for a seq2seq model and `[rows]` classes otherwise.
    Every row ends with the end mark, which BART's classifier reads.
    """
    tf.random.set_seed(seed)
    ids = tf.random.uniform([rows, length], 3, VOCABULARY - 1, tf.int32, seed=seed)
    end = model.config.eos_token_id
    if end is not None and end < VOCABULARY:
        ids = tf.concat([ids[:, :-1], tf.fill([rows, 1], end)], axis=1)
    batch = {"input_ids": ids, "attention_mask": tf.ones_like(ids)}
    if type(model).__name__.endswith("ForSequenceClassification"):
        classes = tf.range(rows) % model.config.num_labels
        return {**batch, "labels": classes}
    labels = tf.random.uniform([rows, 5], 3, VOCABULARY - 1, tf.int32, seed=seed + 1)
    return {**batch, "labels": labels}


def spread(model: keras.Model, scale: float = 1.0, *, seed: int = 0) -> keras.Model:
    """Redraw the matrices wider, so that a random model's output varies by input."""
    generator = tf.random.Generator.from_seed(seed)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(generator.normal(variable.shape, stddev=scale))
    return model


def values(model: keras.Model) -> dict[str, np.ndarray]:
    """A copy of every parameter, by its name in PyTorch and in its shape there."""
    return {name: p.to_torch().copy() for name, p in torch_parameters(model).items()}


def train_steps(model: keras.Model, steps: int = 3) -> None:
    """Real Adam steps on one batch, in eager mode, over `trainable_variables`."""
    optimizer = keras.optimizers.Adam(0.01)
    batch = tiny_batch(model)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(batch, training=True).loss)
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        pairs = zip(gradients, variables, strict=True)
        optimizer.apply_gradients([(g, v) for g, v in pairs if g is not None])
