"""Building a TensorFlow model from its configuration, with initial weights."""

import hashlib
import warnings

import numpy as np

from kerastune_llm.backend import keras, transformers  # isort: skip

from transformers.activations_tf import get_tf_activation

from kerastune_llm.errors import UserError
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.models.weight_names import is_dispensable

# Of transformers to itself: nothing that a user of the model could change. What the
# first is about, `redraw_twins` mends.
_WARNINGS_OF_BUILDING = (
    "The initializer .* is unseeded and being called multiple times",
    "`TFSharedEmbeddings` is scheduled for deletion",
)


def build_model(
    model_class: type[keras.Model],
    config: transformers.PretrainedConfig,
    *,
    seed: int | None = None,
) -> keras.Model:
    """A model with random weights and all its variables, under their final names.

    Raises:
        UserError: The configuration's numbers do not make a model.
    """
    if seed is not None:
        keras.utils.set_random_seed(seed)
    if config.pad_token_id is None and isinstance(config.eos_token_id, int):
        # GPT-like heads look for the last token that is not padding.
        config.pad_token_id = config.eos_token_id
    try:
        with warnings.catch_warnings():
            for message in _WARNINGS_OF_BUILDING:
                warnings.filterwarnings("ignore", message)
            model = model_class(config)
            model.build_in_name_scope()
            if not model.weights:  # Transformer-XL has no `build`.
                model(model.dummy_inputs, training=False)
            _as_in_pytorch(model)
    except ValueError as error:
        raise UserError(
            f"config.json describes a model that cannot be built: {error}",
            received=f"{config.model_type} from {config.name_or_path or 'a config'}",
        ) from error
    return model


def redraw_twins(model: keras.Model) -> None:
    """Give weights that start with identical random values values of their own.

    Where transformers hands one unseeded initializer to two layers (the two input
    projections of a gated T5), tf-keras draws the same numbers twice. The second
    weight gets the same numbers in another order, so their distribution stays.
    """
    seen: set[tuple[tuple[int, ...], bytes]] = set()
    for name, parameter in torch_parameters(model).items():
        if is_dispensable(model, name):
            continue  # Sinusoids of encoder and decoder are the same on purpose.
        value = parameter.variable.numpy()
        fingerprint = (value.shape, hashlib.sha256(value).digest())
        if fingerprint in seen and np.ptp(value) > 0:
            shuffled = np.random.permutation(value.reshape(-1))
            parameter.variable.assign(shuffled.reshape(value.shape))
        seen.add(fingerprint)


def _as_in_pytorch(model: keras.Model) -> None:
    """Where a TensorFlow class computes something else than PyTorch's, follow it.

    OpenAI GPT's "gelu" is the approximation by tanh; TensorFlow has the exact one.
    """
    if model.config.model_type == "openai-gpt" and model.config.afn == "gelu":
        for block in model.transformer.h:
            block.mlp.act = get_tf_activation("gelu_new")
