"""Pretrain the starter T5 from nothing and write it as a Hugging Face directory.

    python -m kerastune_llm.models.starter.pretrain [--steps N] [--output DIR]

Trains the tokenizer, then the model by span corruption on documents made on the fly
(`corpus.py`), and writes config, float16 weights in PyTorch's layout, tokenizer and
README. Every random draw has a fixed seed.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kerastune_llm.backend import tf  # isort: skip  (before transformers)

import numpy as np
import sentencepiece
from transformers import T5Config, T5TokenizerFast, TFT5ForConditionalGeneration

from kerastune_llm.models.building import build_model
from kerastune_llm.models.starter import checkpoint, corpus
from kerastune_llm.models.torch_layout import torch_parameters

WEIGHTS = Path(__file__).with_name("weights")
EXTRA_IDS = 100
VOCAB_SIZE = 896  # pieces and sentinels, a multiple of 128
BATCH_SIZE = 64
STEPS_A_CHUNK = 50
PEAK_LEARNING_RATE = 2e-2  # times the size of each weight, see `make_train_step`
WARMUP_STEPS = 100
CLIP_NORM = 1.0


@dataclass(frozen=True)
class Stage:
    """A part of the training: until which share of the steps, on which documents."""

    until: float
    max_facts: int
    input_tokens: int
    target_tokens: int


# Copying is learnt where there is one name to copy, choosing where there are rivals.
STAGES = (
    Stage(0.07, 1, 32, 12),
    Stage(0.45, 2, 48, 14),
    Stage(1.0, corpus.MAX_FACTS, 80, 24),
)


def train_tokenizer(directory: Path) -> T5TokenizerFast:
    """Train a SentencePiece unigram model and save it in T5's form in `directory`.

    All printable ASCII characters are in the vocabulary, so English text of any kind
    has no unknown piece. The tokenizer's own files stay there: saving it copies one.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus.tokenizer_words("tokenizer", 6000)),
        model_writer=model,
        model_type="unigram",
        vocab_size=VOCAB_SIZE - EXTRA_IDS,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        character_coverage=1.0,
        required_chars="".join(map(chr, range(33, 127))),
        split_digits=True,
        num_threads=1,  # the result must not depend on the machine
        minloglevel=2,
    )
    pieces = directory / "pieces.model"
    pieces.write_bytes(model.getvalue())
    tokenizer = T5TokenizerFast(
        vocab_file=str(pieces),
        extra_ids=EXTRA_IDS,
        legacy=False,
        model_max_length=512,
    )
    tokenizer.save_pretrained(directory)
    return T5TokenizerFast.from_pretrained(directory)


def make_config() -> T5Config:
    """The architecture: 3 + 3 layers of width 128, gated GELU, tied embeddings.

    Without dropout: a model this small learns better and faster without it, when it is
    fine-tuned as well.
    """
    return T5Config(
        vocab_size=VOCAB_SIZE,
        d_model=128,
        d_kv=24,
        d_ff=256,
        num_layers=3,
        num_decoder_layers=3,
        num_heads=8,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=True,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        architectures=["T5ForConditionalGeneration"],
    )


def point_heads(model: TFT5ForConditionalGeneration) -> None:
    """Start some attention heads with a liking for near words, in place.

    T5 has one table of position biases for all layers and starts it near zero, so a
    small model takes thousands of steps to find "the word before", without which no
    name of several pieces is copied. The other heads start, and all go on, as ever.
    """
    # Rows are distance buckets: n for n words before, 16 + n for n words after.
    encoder = np.zeros((32, model.config.num_heads), np.float32)
    encoder[1, 0] = encoder[17, 1] = 5.0
    encoder[1:6, 2] = encoder[17:22, 3] = 3.0
    encoder[2, 4] = encoder[18, 5] = 4.0
    decoder = np.zeros_like(encoder)
    decoder[0, 0], decoder[1, 1], decoder[2, 2] = 3.0, 5.0, 4.0
    for name, parameter in torch_parameters(model).items():
        if "relative_attention_bias" in name:
            parameter.variable.assign(encoder if "encoder" in name else decoder)


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, constant, and over the last 40 % of the steps down to zero."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    return PEAK_LEARNING_RATE * warm * min(1.0, (1.0 - step / steps) / 0.4)


def make_train_step(model: TFT5ForConditionalGeneration) -> Callable:
    """Compile `(inputs, targets, learning_rate, step) -> [loss, right]`, with Adam.

    The step of a weight is `learning_rate` times the root mean square it starts with,
    as Adafactor, T5's optimizer, has it: T5's embeddings start eleven times as large
    as its kernels at this width, and with one step size for both, copying is not
    learnt.
    """
    variables = model.trainable_variables
    scales = [
        # To look at its neighbour, a word needs position biases of about 5.
        1.0
        if "relative_attention_bias" in v.name
        else max(float(tf.sqrt(tf.reduce_mean(v**2))), 1e-3)
        for v in variables
    ]
    moments = [
        (tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v)))
        for v in variables
    ]

    @tf.function(jit_compile=True)
    def train_step(
        inputs: tf.Tensor, targets: tf.Tensor, rate: tf.Tensor, step: tf.Tensor
    ) -> tf.Tensor:
        known = tf.cast(targets >= 0, tf.float32)
        labels = tf.maximum(targets, 0)
        starts = tf.pad(labels[:, :-1], [[0, 0], [1, 0]])
        with tf.GradientTape() as tape:
            logits = model(
                input_ids=inputs,
                attention_mask=tf.cast(inputs > 0, tf.int32),
                decoder_input_ids=starts,
                training=True,
            ).logits
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_sum(losses * known) / tf.reduce_sum(known)
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
        gradients, _ = tf.clip_by_global_norm(gradients, CLIP_NORM)
        bias_1, bias_2 = 1 - 0.9**step, 1 - 0.98**step
        for variable, gradient, (mean, square), scale in zip(
            variables, gradients, moments, scales, strict=True
        ):
            mean.assign(0.9 * mean + 0.1 * gradient)
            square.assign(0.98 * square + 0.02 * gradient**2)
            update = mean / bias_1 / (tf.sqrt(square / bias_2) + 1e-8)
            variable.assign_sub(rate * scale * update)
        right = tf.cast(tf.argmax(logits, -1, tf.int32) == labels, tf.float32)
        return tf.stack([loss, tf.reduce_sum(right * known) / tf.reduce_sum(known)])

    return train_step


def pretrain(
    model: TFT5ForConditionalGeneration,
    tokenizer: T5TokenizerFast,
    steps: int,
    report: Callable[[str], None],
) -> None:
    """Train `model` in place for `steps` steps of 64 documents."""
    train_step = make_train_step(model)
    rng = random.Random("pretrain")
    began = time.monotonic()
    for start in range(0, steps, STEPS_A_CHUNK):
        stage = next(stage for stage in STAGES if start < stage.until * steps)
        inputs, targets = corpus.make_examples(
            rng,
            tokenizer,
            BATCH_SIZE * STEPS_A_CHUNK,
            stage.input_tokens,
            stage.target_tokens,
            stage.max_facts,
        )
        losses = []
        for step in range(start, min(start + STEPS_A_CHUNK, steps)):
            rows = slice((step - start) * BATCH_SIZE, (step - start + 1) * BATCH_SIZE)
            losses.append(
                train_step(
                    tf.constant(inputs[rows]),
                    tf.constant(targets[rows]),
                    tf.constant(learning_rate(step, steps), tf.float32),
                    tf.constant(step + 1.0, tf.float32),
                )
            )
        loss, right = np.mean(losses, axis=0)
        report(
            f"step {step + 1}/{steps}  loss {loss:.3f}  right {right:.3f}"
            f"  {time.monotonic() - began:.0f} s"
        )


def make_readme(model: TFT5ForConditionalGeneration, steps: int) -> str:
    """The model card of a model pretrained for `steps` steps."""
    return checkpoint.README.format(
        parameters=model.count_params(),
        layers=model.config.num_layers,
        width=model.config.d_model,
        vocabulary=VOCAB_SIZE,
        steps=steps,
        facts=corpus.MAX_FACTS,
        batch=BATCH_SIZE,
    )


def main() -> None:
    """Read the flags, train, save and say where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000, help="training steps")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="folder to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = train_tokenizer(Path(folder))
        model = build_model(TFT5ForConditionalGeneration, make_config(), seed=0)
        point_heads(model)
        counts = f"{model.count_params():,} parameters, {len(tokenizer)} pieces"
        print(counts, flush=True)
        pretrain(model, tokenizer, options.steps, lambda line: print(line, flush=True))
        readme = make_readme(model, options.steps)
        checkpoint.save(model, tokenizer, options.output, readme)
    size = sum(os.path.getsize(path) for path in options.output.iterdir())
    print(f"Wrote {options.output} ({size:,} bytes)")


if __name__ == "__main__":
    main()
