"""The one place where TensorFlow, transformers and tf-keras are imported.

transformers reads its framework switches when it is imported and must come before
anything touches `tf.keras`; with `USE_TF=1` it never looks for PyTorch, even where
PyTorch is installed.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Hold back what TensorFlow's C++ writes to standard error while it loads.

    No setting silences these lines (they come before its logging is set up); they are
    shown after all when the import fails. What matters in them, a GPU that is not
    found, `kerastune doctor` says.
    """
    with tempfile.TemporaryFile() as held_back:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
os.environ["USE_TF"] = "1"
os.environ["USE_TORCH"] = "0"
os.environ["USE_JAX"] = "0"

with _quiet_start():
    import tensorflow as tf
    import transformers
    import tf_keras as keras  # isort: skip

    # The first look for GPUs writes its lines too.
    tf.config.list_physical_devices("GPU")

transformers.logging.set_verbosity_error()

__all__ = ["keras", "tf", "transformers"]
