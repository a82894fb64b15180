"""The rows of a vocabulary's matrix that a run's texts read; no other needs an update.

The gradient of a row that no batch reads is zero at every update, so that what Adam
remembers of it stays zero and the row what it was. Of 30,522 rows the 8,551 sentences
of CoLA read 5,800: the update of all is half of a small BERT's.
"""

from collections.abc import Iterable

import datasets
import numpy as np

from kerastune_llm.backend import keras, tf
from kerastune_llm.data.columns import token_column
from kerastune_llm.models.torch_layout import torch_parameters

# Types of model whose token embeddings are looked up by id, and read in no other way.
LOOKED_UP = (
    "bert",
    "camembert",
    "distilbert",
    "electra",
    "mpnet",
    "mt5",
    "roberta",
    "t5",
    "xlm-roberta",
)
_MATRICES = ("word_embeddings.weight", "shared.weight")
# Not worth it where nearly all rows are read.
_MOST = 0.75


def token_matrix(model: keras.Model) -> tf.Variable | None:
    """The token embeddings `[vocabulary, width]`, where they are looked up by id alone.

    `None` where they are the LM head too, which moves every row, do not train, or
    belong to an architecture that may read them in another way.
    """
    config = model.config
    is_head = model.can_generate() and config.tie_word_embeddings
    if config.model_type not in LOOKED_UP or is_head:
        return None
    trained = {id(variable) for variable in model.trainable_variables}
    matrices = (
        parameter.variable
        for name, parameter in torch_parameters(model).items()
        if name.endswith(_MATRICES) and id(parameter.variable) in trained
    )
    return next(matrices, None)


def special_ids(model: keras.Model) -> set[int]:
    """Ids that a model, or its batches, have beside those of the rows."""
    names = ("pad", "bos", "eos", "decoder_start")
    found = (getattr(model.config, f"{name}_token_id", None) for name in names)
    return {value for value in found if isinstance(value, int)}


def used_rows(
    tokenised: datasets.Dataset, *, special: Iterable[int], rows: int
) -> np.ndarray | None:
    """The ids that a dataset's inputs and targets have, in order, int32.

    Args:
        tokenised: With `input_ids` and, where a target is text, `labels` of ids.
        special: Ids that a batch or a model may put beside them, such as padding.
        rows: Of the matrix.

    Returns:
        `None` where so many rows are read that it is not worth telling them apart.
    """
    is_used = np.zeros(rows, bool)
    # A tokenizer may know marks that the model has no row for.
    is_used[[number for number in special if 0 <= number < rows]] = True
    for name in ("input_ids", "labels"):
        if not isinstance(tokenised.features[name], datasets.List):
            continue
        ids = token_column(tokenised, name).values
        # Sets of labels are lists of 0 and 1, as floats.
        if ids.dtype.kind == "i":
            is_used[ids[ids >= 0]] = True
    found = np.flatnonzero(is_used).astype(np.int32)
    return found if len(found) <= _MOST * rows else None


class UsedRows:
    """Some rows of a matrix, and what an update reads and writes of them.

    Args:
        rows: Their numbers in order, int32.
        total: Rows of the matrix.
    """

    def __init__(self, rows: np.ndarray, total: int) -> None:
        self.rows = rows
        self._places = np.full(total, -1, np.int32)
        self._places[rows] = np.arange(len(rows))

    def of_gradient(
        self, gradient: tf.Tensor | tf.IndexedSlices | None
    ) -> tf.Tensor | None:
        """These rows of a gradient of the whole matrix, dense `[rows, width]`.

        Raises:
            InvalidArgumentError: It has another row, where it says which ones it has.
        """
        if isinstance(gradient, tf.IndexedSlices):
            places = tf.gather(self._places, gradient.indices)
            known = tf.debugging.assert_non_negative(
                places, "An id is in a batch that the training rows do not have."
            )
            with tf.control_dependencies([known] if known is not None else []):
                places = tf.identity(places)
            return tf.math.unsorted_segment_sum(gradient.values, places, len(self.rows))
        return None if gradient is None else tf.gather(gradient, self.rows)

    def read(self, matrix: tf.Variable) -> tf.Tensor:
        """`[rows, width]`."""
        return tf.gather(matrix, self.rows)

    def write(self, matrix: tf.Variable, values: tf.Tensor) -> None:
        """Assign what `read` gave, changed."""
        matrix.scatter_update(tf.IndexedSlices(values, self.rows))
