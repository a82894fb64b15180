"""The one place where TensorFlow, transformers and tf-keras are imported.

transformers reads its framework switches when it is imported and must come before
anything touches `tf.keras`; with `USE_TF=1` it never looks for PyTorch, even where
PyTorch is installed.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
os.environ["USE_TF"] = "1"
os.environ["USE_TORCH"] = "0"
os.environ["USE_JAX"] = "0"

import tensorflow as tf  # noqa: E402
import transformers  # noqa: E402
import tf_keras as keras  # noqa: E402, I001

transformers.logging.set_verbosity_error()

__all__ = ["keras", "tf", "transformers"]
