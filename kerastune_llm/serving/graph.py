"""A model, its tokenizer and its task's template as one graph: text in, text out."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.generation import Generator
from kerastune_llm.serving.answers import (
    Outputs,
    answer_name,
    generate,
    head_outputs,
    text_outputs,
)
from kerastune_llm.serving.graph_tokenizers.detokenizer import Detokenizer
from kerastune_llm.serving.graph_tokenizers.support import UnsupportedTokenizer
from kerastune_llm.serving.graph_tokenizers.tokenizer import GraphTokenizer
from kerastune_llm.serving.small_weights import Smaller
from kerastune_llm.serving.template import render_in_graph
from kerastune_llm.tasks.task import Task

logger = logging.getLogger(__name__)

DEFAULT, FROM_IDS, TOKENIZE = "serving_default", "from_ids", "tokenize"
CLASSIFY = "classify"


@dataclass(frozen=True)
class Service:
    """What a served model is asked and how it answers.

    Args:
        task: The task, its labels known.
        as_text: Whether the model generates the answer rather than choosing a label.
        max_input_tokens: Inputs are cut to this length.
        max_new_tokens: Longest generated answer, the end mark included.
        num_beams: 1 is greedy.
        smaller: The model's weights as they are stored; `None`: as they are.
    """

    task: Task
    as_text: bool
    max_input_tokens: int
    max_new_tokens: int = 32
    num_beams: int = 1
    smaller: Smaller | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the texts a request holds."""
        return self.task.fields(as_text=self.as_text)


class ServedModel(tf.Module):
    """What a SavedModel is made of: everything its graphs refer to.

    Args:
        model: The model, merged where it can be.
        tokenizer: Its tokenizer.
        service: What is asked and answered.

    `id_only` says why there is no text in the graph; it is empty where there is.

    Raises:
        UserError: A field of the task cannot be the name of an input.
    """

    def __init__(
        self, model: keras.Model, tokenizer: PreTrainedTokenizerBase, service: Service
    ) -> None:
        super().__init__()
        _check_fields(service)
        self.id_only = ""
        self._tokenizer = self._detokenizer = None
        try:
            pair = bool(service.task.pair_template) and not service.as_text
            self._tokenizer = GraphTokenizer(
                tokenizer, max_tokens=service.max_input_tokens, pair=pair
            )
            self._detokenizer = Detokenizer(tokenizer) if service.as_text else None
        except UnsupportedTokenizer as error:
            self.id_only = str(error)
        # The model itself stays outside: a module would save every layer's own call.
        smaller = service.smaller
        self._variables = smaller.weights.variables if smaller else model.variables
        self._service = _Untracked(service)
        self._pad_token_id = tokenizer.pad_token_id
        names = tokenizer.model_input_names
        self._has_types = "token_type_ids" in names and not service.as_text
        self._answer = self._answering(model, service)

    def signatures(self) -> dict[str, Callable]:
        """The functions of the SavedModel by the names of their signatures."""
        from_ids = self._from_ids()
        if self.id_only:
            return {DEFAULT: from_ids}
        spec = tf.TensorSpec([None], tf.string)
        specs = dict.fromkeys(self._service.value.fields, spec)
        answer = tf.function(
            lambda **fields: self._run(self._features(fields)), autograph=False
        )
        tokenize = tf.function(lambda **fields: self._features(fields), autograph=False)
        named = {
            DEFAULT: answer.get_concrete_function(**specs),
            FROM_IDS: from_ids,
            TOKENIZE: tokenize.get_concrete_function(**specs),
        }
        if {"labels", "probabilities"} <= set(named[DEFAULT].structured_outputs):
            classify = tf.function(self._classify, autograph=False)
            named[CLASSIFY] = classify.get_concrete_function(inputs=spec)
        return named

    def _classify(self, inputs: tf.Tensor) -> Outputs:
        """What TensorFlow Serving's Classify asks: labels of serialized `tf.Example`s.

        The names are those of `tensorflow_serving/servables/tensorflow/classifier.cc`.
        """
        text = tf.io.FixedLenFeature([], tf.string)
        fields = tf.io.parse_example(
            inputs, dict.fromkeys(self._service.value.fields, text)
        )
        outputs = self._run(self._features(fields))
        return {"classes": outputs["labels"], "scores": outputs["probabilities"]}

    def _from_ids(self) -> Callable:
        names = ["input_ids", "attention_mask"] + ["token_type_ids"] * self._has_types
        spec = tf.TensorSpec([None, None], tf.int32)
        answer = tf.function(lambda **features: self._run(features), autograph=False)
        return answer.get_concrete_function(**dict.fromkeys(names, spec))

    def _run(self, features: dict[str, tf.Tensor]) -> Outputs:
        smaller = self._service.value.smaller
        with smaller.weights.in_place() if smaller else contextlib.nullcontext():
            return self._answer(features)

    def _answering(
        self, model: keras.Model, service: Service
    ) -> Callable[[dict], Outputs]:
        if not service.as_text:
            return head_outputs(model, service.task)
        generator = Generator(
            model,
            max_new_tokens=service.max_new_tokens,
            num_beams=service.num_beams,
            max_input_tokens=service.max_input_tokens,
        )
        outputs = text_outputs(service.task)

        # Without XLA: it would compile for every shape of batch that comes, some ten
        # seconds each, and TensorFlow Serving has it switched off.
        def answer(features: dict[str, tf.Tensor]) -> Outputs:
            generated = generate(generator, features)
            if self._detokenizer is None:
                return {"output_ids": generated.ids, "score": generated.score}
            return outputs(self._detokenizer(generated.ids), generated.score)

        return answer

    def _features(self, fields: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Padded ids of texts, int32 `[batch, length]`."""
        service = self._service.value
        template = service.task.template(as_text=service.as_text)
        texts = render_in_graph(template, fields)
        seconds = None
        if service.task.pair_template and not service.as_text:
            seconds = render_in_graph(service.task.pair_template, fields)
        ids, types = self._tokenizer(texts, seconds)
        features = {
            "input_ids": ids.to_tensor(self._pad_token_id),
            "attention_mask": tf.ones_like(ids).to_tensor(0),
        }
        if self._has_types:
            features["token_type_ids"] = types.to_tensor(0)
        return features


@dataclass(frozen=True)
class _Untracked:
    """Keeps a value with dictionaries in it out of what a SavedModel tracks."""

    value: Service


def _check_fields(service: Service) -> None:
    taken = {answer_name(service.task), "score"}
    for name in service.fields:
        if not name.isidentifier() or name in taken:
            raise UserError(
                "A field of the task cannot be the name of an input.",
                accepted="a word of letters, digits and underscores, not the output's",
                received=name,
                mend=f'--task.columns text="{name}", and {{text}} in the template',
            )
