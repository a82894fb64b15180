"""What a served model answers to token ids: text with a score, or labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.generation import Generator
from kerastune_llm.models.sequence_scores import is_end_token, sequence_scores
from kerastune_llm.tasks.task import Task, template_fields

SKIPPED = -1
OUTSIDE = -1
# A label of several is chosen when it is more likely than not.
THRESHOLD = 0.5

Features = Mapping[str, tf.Tensor]
Outputs = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Generated:
    """Generated ids and how sure the model is of them.

    Args:
        ids: int32 `[batch, length]`, -1 from the end mark on.
        score: The geometric mean of the probabilities of the generated tokens, the end
            mark included: float32 `[batch]`, between 0 and 1.
    """

    ids: tf.Tensor
    score: tf.Tensor


def generate(generator: Generator, features: Features) -> Generated:
    """Answers to padded `input_ids` and `attention_mask`, `[batch, length]`."""
    model = generator.model
    inputs = {name: features[name] for name in ("input_ids", "attention_mask")}
    sequences = generator.generate(**inputs)
    score = sequence_scores(model, **inputs, sequences=sequences)
    tokens = sequences[:, 1:]
    is_end = tf.cast(is_end_token(model, tokens), tf.int32)
    return Generated(tf.where(tf.cumsum(is_end, axis=1) > 0, SKIPPED, tokens), score)


def text_outputs(task: Task) -> Callable[[tf.Tensor, tf.Tensor], Outputs]:
    """Makes the outputs of a generating model from its texts and scores."""
    name = answer_name(task)
    if task.kind != "classification":
        return lambda texts, score: {name: texts, "score": score}
    labels = tf.constant(task.labels)

    def outputs(texts: tf.Tensor, score: tf.Tensor) -> Outputs:
        same = texts[:, tf.newaxis] == labels
        first = tf.argmax(same, axis=1, output_type=tf.int32)
        index = tf.where(tf.reduce_any(same, axis=1), first, OUTSIDE)
        return {name: texts, "index": index, "score": score}

    return outputs


def head_outputs(model: keras.Model, task: Task) -> Callable[[Features], Outputs]:
    """Makes the outputs of a model with a head from padded features.

    A label: its name, `index`, `score`, and the `probabilities` of all `labels`.
    Several labels: `probabilities` of all `labels`, and which are `chosen`. A number:
    `value`.
    """
    finish = {
        "classification": _one_label,
        "multilabel": _several_labels,
        "regression": _number,
    }[task.kind]

    def outputs(features: Features) -> Outputs:
        logits = model(dict(features), training=False).logits
        return finish(tf.cast(logits, tf.float32), task)

    return outputs


def answer_name(task: Task) -> str:
    """The name of the output that holds the answer.

    >>> from kerastune_llm.tasks.task import get_task
    >>> answer_name(get_task("squad")), answer_name(get_task("cola"))
    ('answer', 'label')
    """
    if task.kind == "classification":
        return "label"
    fields = template_fields(task.target_template) if task.target_template else ()
    if len(fields) == 1 and fields[0].isidentifier():
        return fields[0]
    return (task.references_column or "text").removesuffix("s")


def answer_output(task: Task, *, as_text: bool) -> str:
    """The name of the output that says most: text, probabilities or a number."""
    if as_text:
        return answer_name(task)
    return "value" if task.kind == "regression" else "probabilities"


def _one_label(logits: tf.Tensor, task: Task) -> Outputs:
    probabilities = tf.nn.softmax(logits)
    index = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
    return {
        "label": tf.gather(tf.constant(task.labels), index),
        "index": index,
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
        "labels": _names(probabilities, task),
    }


def _several_labels(logits: tf.Tensor, task: Task) -> Outputs:
    probabilities = tf.nn.sigmoid(logits)
    return {
        "probabilities": probabilities,
        "chosen": probabilities > THRESHOLD,
        "labels": _names(probabilities, task),
    }


def _number(logits: tf.Tensor, task: Task) -> Outputs:
    del task
    return {"value": logits[:, 0]}


def _names(probabilities: tf.Tensor, task: Task) -> tf.Tensor:
    """Label names for every row: TensorFlow Serving wants one length of all outputs."""
    return tf.broadcast_to(tf.constant(task.labels), tf.shape(probabilities))
