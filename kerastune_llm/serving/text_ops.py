"""TensorFlow Text, whose import must come after the backend has set TensorFlow up."""

from kerastune_llm.backend import tf

import tensorflow_text as tf_text  # isort: skip

__all__ = ["tf", "tf_text"]
