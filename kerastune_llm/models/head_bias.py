"""Where a new multilabel head begins: at how often each label occurs.

With a bias of zero every label of a new head is as likely as not, and of a hundred
labels two are right. The first updates then do nothing but push all logits down, most
quickly by driving the pooled vector into the flat ends of its tanh, out of which it
hardly returns: MiniLM on 100 tags stays at the loss of the frequencies alone.
"""

from collections.abc import Collection, Sequence

import numpy as np

from kerastune_llm.backend import keras
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.torch_layout import torch_parameters


def begin_at_shares(
    model: keras.Model, new: Collection[str], shares: Sequence[float]
) -> bool:
    """Set the bias of a new head's last layer to the log-odds of the shares.

    bias = log(share / (1 - share)), as in Lin et al. 2017, "Focal Loss for Dense Object
    Detection" (https://arxiv.org/abs/1708.02002), section 3.3.

    Args:
        model: A built model with a multilabel head.
        new: PyTorch names of the weights that no checkpoint has given.
        shares: How many of the rows have each label, `[labels]`, between 0 and 1.

    Returns:
        Whether there is such a bias and it is new.
    """
    shape = (len(shares),)
    head = layout_of(model).head.intersection(new)
    biases = [
        parameter.variable
        for name, parameter in torch_parameters(model).items()
        if name in head and name.endswith(".bias")
        if tuple(parameter.variable.shape) == shape
    ]
    if not biases:
        return False
    # A layer of as many units below it comes before it.
    biases[-1].assign(np.log(shares) - np.log1p(np.negative(shares)))
    return True


def label_shares(labels: np.ndarray) -> np.ndarray:
    """Share of the rows with each label, drawn a little to the middle: never 0 or 1.

    Args:
        labels: 1 where a row has the label, `[rows, labels]`.

    >>> label_shares(np.array([[1, 0], [0, 0], [1, 0]])).tolist()
    [0.625, 0.125]
    """
    return (labels.sum(axis=0) + 0.5) / (len(labels) + 1)
