"""Generation in graphs: token ids in, generated token ids out.

Inputs are sorted by length, the encoder runs once for a batch, and a batch ends when
all of its rows have. A graph that XLA compiles serves one shape: inputs are padded to
one of a few bucket lengths and to full batches, so that a whole validation set needs as
many compilations as there are buckets in use. On a CPU, where XLA's products are slower
than TensorFlow's own, one graph serves all shapes. A batch's shape depends on the
inputs alone, so the same inputs give the same numbers in every run.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.any_batch import (
    obstacle_to_graphs,
    open_batches,
    processors_for_any_batch,
)
from kerastune_llm.models.as_written import as_written
from kerastune_llm.models.kept_encoder import KeptEncoder, as_outputs
from kerastune_llm.models.replicas import where_weights_are
from kerastune_llm.models.sequence_scores import end_token_ids, sequence_scores

logger = logging.getLogger(__name__)

# Few and far apart: compiling one more shape costs more than padding, for generation
# spends its time in the decoder.
BUCKETS = (32, 64, 128, 256, 384, 512, 768, 1024, 2048, 4096)
# Transformers' loop, which makes room for what follows the first token, fails on one.
_FEWEST = 2
# Without buckets lengths are multiples of this: whole vectors of the processor.
MULTIPLE = 8


class Generator:
    """Generates with a seq2seq model, greedily or by beam search, in a graph.

    Equal to `model.generate` row by row, with the model's own generation settings
    (start token, forced tokens, length penalty) except sampling, which is off. Weights
    are read at every call, so one generator serves a whole training run. An input's
    padding is told by its length, never by its ids.

    Args:
        model: A built encoder-decoder with an LM head.
        max_new_tokens: Tokens generated at most, the end mark included.
        num_beams: Beams of the search; 1 is greedy.
        batch_size: Rows generated at once.
        max_input_tokens: Inputs are cut to this length, keeping their last token,
            which marks the end; cuts are counted in a warning.
        jit: Whether XLA compiles it, once for each bucket of input lengths; default:
            where there is a GPU. A TPU always does.

    Raises:
        UserError: The model cannot generate, or a number is not positive.

    Example::

        generator = Generator(model, max_new_tokens=32, num_beams=4)
        generator([[37, 12, 1], [8, 1]])  # [[21, 5], [44]]
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        max_new_tokens: int,
        num_beams: int = 1,
        batch_size: int = 16,
        max_input_tokens: int = 512,
        jit: bool | None = None,
    ) -> None:
        if not (model.config.is_encoder_decoder and model.can_generate()):
            raise UserError(
                "This model cannot generate text.",
                accepted="an encoder-decoder with an LM head (T5, BART, …)",
                received=type(model).__name__,
            )
        _check_positive("max_new_tokens", max_new_tokens)
        _check_positive("num_beams", num_beams)
        _check_positive("batch_size", batch_size)
        _check_positive("max_input_tokens", max_input_tokens)
        self.model = model
        self.max_new_tokens = max_new_tokens
        self.num_beams = num_beams
        self.batch_size = batch_size
        self.max_input_tokens = max_input_tokens
        self._pad_token_id = _pad_token_id(model)
        obstacle = obstacle_to_graphs(model)
        if obstacle:
            logger.warning("Generation will be slow, uncompiled: %s.", obstacle)
        strategy = model.distribute_strategy
        is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
        if jit is None:
            jit = bool(tf.config.list_logical_devices("GPU"))
        # A TPU compiles by itself what it runs.
        self._is_static = jit or is_tpu
        self._jit = jit and not is_tpu
        self._can_be_graph = obstacle is None
        spec = tf.TensorSpec([None, None], tf.int32)
        self._use_graph(spec, spec)
        self._encoder: KeptEncoder | None = None
        # Elsewhere one for all shapes: it is run once a batch, not once a token.
        self._score = tf.function(
            where_weights_are(strategy, partial(sequence_scores, model)),
            input_signature=None if is_tpu else [spec] * 3,
            autograph=False,
        )

    def keep_encoded(self, gigabytes: float) -> None:
        """Keep what the encoder gives for inputs that may come again.

        Call it where the encoder does not train: what is generated stays the same.

        Args:
            gigabytes: Kept at most.
        """
        limit, is_static = gigabytes * 2**30, self._is_static
        self._encoder = KeptEncoder(self.model, limit, is_static=is_static)
        spec = tf.TensorSpec([None, None], tf.int32)
        self._use_graph(spec, spec, self._encoder.spec)

    def __call__(
        self,
        sequences: Sequence[Sequence[int]],
        *,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> list[list[int]]:
        """Generate for inputs of any length in any order.

        Args:
            sequences: Token ids of each input, without padding, at least one each.
            on_batch: Called with (rows done, rows in all) after every batch.

        Returns:
            The generated ids in the order of the inputs, without the start token, the
            end mark and padding.
        """
        return [ids for ids, _ in self._rows(sequences, on_batch)]

    def scored(
        self,
        sequences: Sequence[Sequence[int]],
        *,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> tuple[list[list[int]], np.ndarray]:
        """What calling gives, and how sure the model is of each row.

        Takes a pass over the generated tokens more. Scores are those of
        `sequence_scores`, float32 `[rows]`.
        """
        rows = self._rows(sequences, on_batch, with_scores=True)
        scores = np.array([score for _, score in rows], np.float32)
        return [ids for ids, _ in rows], scores

    def _rows(
        self,
        sequences: Sequence[Sequence[int]],
        on_batch: Callable[[int, int], None] | None,
        *,
        with_scores: bool = False,
    ) -> list[tuple[list[int], float]]:
        """Generated ids and score of each input; the score is 1 where not asked for."""
        inputs = self._cut(sequences)
        # The longest first: what does not fit in memory fails at once.
        order = sorted(range(len(inputs)), key=lambda row: -len(inputs[row]))
        outputs: list[tuple[list[int], float]] = [([], 1.0) for _ in inputs]
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            batch = self._pad([inputs[row] for row in rows])
            encoded = [self._encoder(*batch)] if self._encoder else []
            generated = self._generate(*map(tf.constant, batch), *encoded)
            scores = np.ones(len(rows))
            if with_scores:
                kept = generated[:, : self.max_new_tokens + 1]
                scores = self._score(*map(tf.constant, batch), kept).numpy()
            texts = generated.numpy().tolist()
            for row, ids, score in zip(rows, texts, scores, strict=False):
                outputs[row] = self._trim(ids), float(score)
            if on_batch is not None:
                on_batch(start + len(rows), len(order))
        return outputs

    @property
    def graphs(self) -> int:
        """How many graphs have been made so far: one, or one for each bucket."""
        return self._function.experimental_get_tracing_count()

    def generate(self, input_ids: tf.Tensor, attention_mask: tf.Tensor) -> tf.Tensor:
        """Generate one padded batch of any size, for use inside a graph of the caller.

        Args:
            input_ids: int32 `[batch, length]`.
            attention_mask: 1 where there is a token, int32 `[batch, length]`.

        Returns:
            int32 `[batch, generated length]`: the start token, the generated ids, the
            end mark where it came, and padding.
        """
        return self._generated(input_ids, attention_mask)

    def _generated(
        self, input_ids: tf.Tensor, attention_mask: tf.Tensor, *encoded: tf.Tensor
    ) -> tf.Tensor:
        """What `generate` gives, from the encoder's hidden states if they are known."""
        settings = self.model.generation_config
        is_single = self.max_new_tokens < _FEWEST
        options = processors_for_any_batch(settings, self.max_new_tokens)
        for hidden in encoded:
            options["encoder_outputs"] = as_outputs(hidden)
        with open_batches():
            generated = as_written(
                self.model.generate,
                input_ids=input_ids,
                attention_mask=attention_mask,
                max_new_tokens=_FEWEST if is_single else self.max_new_tokens,
                # The best beam of one token is the likeliest token.
                num_beams=1 if is_single else self.num_beams,
                num_return_sequences=1,
                do_sample=False,
                return_dict_in_generate=False,
                **options,
            )
        return generated[:, : self.max_new_tokens + 1] if is_single else generated

    def _use_graph(self, *signature: tf.TensorSpec) -> None:
        """Have one graph of `generate` for all shapes, or one for each."""
        self._function = tf.function(
            where_weights_are(self.model.distribute_strategy, self._generated),
            input_signature=None if self._is_static else signature,
            jit_compile=self._jit,
            autograph=False,
        )
        self._generate = self._function if self._can_be_graph else self._generated

    def _cut(self, sequences: Sequence[Sequence[int]]) -> list[list[int]]:
        if not all(len(sequence) for sequence in sequences):
            raise UserError("An input has no tokens.", accepted="at least one token")
        limit = self.max_input_tokens
        long = sum(len(sequence) > limit for sequence in sequences)
        if long:
            logger.warning(
                "%d of %d inputs were cut to %d tokens.", long, len(sequences), limit
            )
        return [
            list(ids) if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]
            for ids in sequences
        ]

    def _pad(self, inputs: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask `[rows, length]`, int32; rows to spare repeat the last."""
        longest = max(map(len, inputs))
        length = min(-(-longest // MULTIPLE) * MULTIPLE, self.max_input_tokens)
        shape = (len(inputs), length)
        if self._is_static:
            length = bucket_length(longest, limit=self.max_input_tokens)
            shape = (self.batch_size, length)
        ids = np.full(shape, self._pad_token_id, np.int32)
        mask = np.zeros(shape, np.int32)
        for row in range(len(ids)):
            tokens = inputs[min(row, len(inputs) - 1)]
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return ids, mask

    def _trim(self, ids: list[int]) -> list[int]:
        generated = ids[1 : self.max_new_tokens + 1]
        ends = end_token_ids(self.model.generation_config)
        first = next((n for n, token in enumerate(generated) if token in ends), None)
        return generated[:first]


def bucket_length(length: int, *, limit: int) -> int:
    """The length an input is padded to: the next bucket, and never above `limit`.

    >>> bucket_length(33, limit=512), bucket_length(300, limit=320)
    (64, 320)
    """
    return min(next((size for size in BUCKETS if size >= length), limit), limit)


def _pad_token_id(model: keras.Model) -> int:
    """Padding is masked, so any id will do where the model names none."""
    for source in (model.generation_config, model.config):
        if source.pad_token_id is not None:
            return source.pad_token_id
    return 0


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise UserError(
            f"{name} must be positive.",
            accepted="a whole number from 1",
            received=f"{name}={value}",
        )
