"""What a frozen encoder gives for inputs, kept for when the same ones come again."""

import hashlib

import numpy as np

from kerastune_llm.backend import keras, tf, transformers
from kerastune_llm.models.as_written import as_written
from kerastune_llm.models.replicas import where_weights_are


class KeptEncoder:
    """The encoder of an encoder-decoder, computed once for each batch.

    Args:
        model: Its encoder does not train as long as this lives.
        limit: Bytes that are kept; batches beyond it are computed each time.
        is_static: Whether a graph is made for each shape rather than one for all.
    """

    def __init__(self, model: keras.Model, limit: float, *, is_static: bool) -> None:
        self.model = model
        self.limit = limit
        self.size = 0
        self._kept: dict[bytes, tf.Tensor] = {}
        spec = tf.TensorSpec([None, None], tf.int32)
        self._function = tf.function(
            where_weights_are(model.distribute_strategy, self._encode),
            input_signature=None if is_static else [spec] * 2,
            autograph=False,
        )

    @property
    def spec(self) -> tf.TensorSpec:
        """Of what calling gives, for inputs of any shape."""
        inputs = [tf.TensorSpec([None, None], tf.int32)] * 2
        hidden = self._function.get_concrete_function(*inputs).structured_outputs
        return tf.TensorSpec([None, None, hidden.shape[-1]], hidden.dtype)

    def __call__(self, ids: np.ndarray, mask: np.ndarray) -> tf.Tensor:
        """Hidden states `[rows, length, width]` of ids and mask `[rows, length]`."""
        key = hashlib.sha256(repr(ids.shape).encode() + ids.tobytes() + mask.tobytes())
        hidden = self._kept.get(key.digest())
        if hidden is None:
            hidden = self._function(tf.constant(ids), tf.constant(mask))
            size = hidden.dtype.size * int(tf.size(hidden))
            if self.size + size <= self.limit:
                self._kept[key.digest()] = hidden
                self.size += size
        return hidden

    def _encode(self, ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        # What `generate` itself calls when it is given none.
        prepare = self.model._prepare_encoder_decoder_kwargs_for_generation
        prepared = as_written(prepare, ids, {"attention_mask": mask}, "input_ids")
        return prepared["encoder_outputs"].last_hidden_state


def as_outputs(hidden: tf.Tensor) -> transformers.file_utils.ModelOutput:
    """Hidden states in the form that `generate` takes an encoder's outputs in."""
    return transformers.modeling_tf_outputs.TFBaseModelOutput(last_hidden_state=hidden)
