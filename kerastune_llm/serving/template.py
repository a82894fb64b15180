"""A task's template rendered in the graph."""

import string
from collections.abc import Mapping

from kerastune_llm.backend import tf


def render_in_graph(template: str, fields: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The template with each name in braces replaced by the row's text.

    The counterpart of `render_template`, which checks that only plain names are in it.

    Args:
        template: Such as `"question: {question} context: {context}"`.
        fields: Texts by name, string `[batch]` each.

    Returns:
        string `[batch]`.

    >>> render_in_graph("cola: {s}!", {"s": tf.constant(["a", ""])}).numpy().tolist()
    [b'cola: a!', b'cola: !']
    """
    pieces = []
    for literal, name, _, _ in string.Formatter().parse(template):
        pieces.append(tf.constant(literal))
        if name is not None:
            pieces.append(fields[name])
    return tf.strings.join(pieces)
