"""The trunk of a model: its first layers, as far as none of them trains.

What a frozen trunk computes for a row is the same in every epoch, apart from dropout.
`find_cut` says where it ends, `Cut.record` computes its outputs, and within
`Cut.replayed` the model starts from such outputs instead of running it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kerastune_llm.backend import keras, tf, transformers
from kerastune_llm.models.as_written import call_as_written
from kerastune_llm.models.attributes import Stand, replaced
from kerastune_llm.models.first_token import first_token_only
from kerastune_llm.models.labelled_tokens import labelled_tokens_only
from kerastune_llm.models.layout import Layout, layout_of
from kerastune_llm.models.packed import call_packed, is_packed
from kerastune_llm.models.quick_activations import quick_activations
from kerastune_llm.models.stacks import base_of, last_before_head
from kerastune_llm.models.torch_layout import torch_parameters

Features = dict[str, tf.Tensor]
# In a batch, the names of the trunk's outputs begin with it.
PREFIX = "trunk/"


@dataclass(frozen=True)
class Cut:
    """Where the trunk of a model ends.

    Args:
        model: The model.
        where: After the whole base model, so that the head alone is left; after the
            encoder of an encoder-decoder; or after some blocks of an encoder.
        blocks: How many, where it ends after blocks.
    """

    model: keras.Model
    where: Literal["base", "encoder", "blocks"]
    blocks: int = 0

    @property
    def length_column(self) -> str:
        """The column whose rows are as long as the trunk's outputs."""
        # An encoder-decoder with a classifier has its inputs on both sides.
        gives_text = self.model.config.is_encoder_decoder and self.model.can_generate()
        return "labels" if self.where == "base" and gives_text else "input_ids"

    @property
    def dropout(self) -> float:
        """The highest rate of dropout in the trunk."""
        layers = (layer for part in self._layers() for layer in part._flatten_layers())
        rates = (
            getattr(layer, "rate", getattr(layer, "drop_prob", 0)) for layer in layers
        )
        return max((rate for rate in rates if isinstance(rate, float)), default=0.0)

    def record(self, batch: Mapping[str, tf.Tensor]) -> Features:
        """The trunk's outputs for a batch, without dropout.

        Args:
            batch: What the model is called with, `labels` included.

        Returns:
            Tensors `[batch, length, width]` or `[batch, width]`; in a graph, nothing
            past the trunk is computed for them.
        """
        found: Features = {}
        with contextlib.ExitStack() as changed:
            changed.enter_context(self._recorded(found))
            changed.enter_context(quick_activations(self.model))
            # A loss checks its logits, and what is checked in a graph is computed.
            changed.enter_context(replaced(self.model, "hf_compute_loss", _no_loss))
            call_as_written(self.model, batch, training=False)
        return found

    @contextlib.contextmanager
    def replayed(self, features: Features) -> Iterator[None]:
        """Within it, calling the model starts from `features`; in a graph for good."""
        with contextlib.ExitStack() as changed:
            for holder, attribute, value in self._replacements(features):
                changed.enter_context(replaced(holder, attribute, value))
            yield

    @contextlib.contextmanager
    def _recorded(self, found: Features) -> Iterator[None]:
        holder, attribute = self._last_layer()
        layer = getattr(holder, attribute)

        def record(*arguments: Any, **options: Any) -> Any:
            outputs = layer(*arguments, **options)
            names = ("last_hidden_state", "pooler_output")
            for name in names if self.where == "base" else names[:1]:
                value = getattr(outputs, name, None)
                if value is not None:
                    found[name] = value
            return outputs

        with contextlib.ExitStack() as changed:
            if self.where == "blocks":
                blocks = list(layer.layer)[: self.blocks]
                changed.enter_context(replaced(layer, "layer", blocks))
            stand = Stand(layer, record)
            changed.enter_context(replaced(holder, attribute, stand))
            yield

    def _last_layer(self) -> tuple[keras.layers.Layer, str]:
        """The layer that holds the trunk's last layer, and under which name."""
        if self.where == "base":
            return last_before_head(self.model)
        base = base_of(self.model)
        return base, "encoder" if hasattr(base, "encoder") else "transformer"

    def _layers(self) -> Iterator[keras.layers.Layer]:
        """The layers of the trunk."""
        holder, attribute = self._last_layer()
        last = getattr(holder, attribute)
        if self.where == "blocks":
            yield holder.embeddings
            yield from list(last.layer)[: self.blocks]
            return
        yield last
        if self.where == "base" and holder is base_of(self.model):
            yield holder.encoder

    def _replacements(
        self, features: Features
    ) -> Iterator[tuple[keras.layers.Layer, str, Any]]:
        holder, attribute = self._last_layer()
        stack = getattr(holder, attribute)
        if self.where != "blocks":
            outputs = self._outputs(features)
            yield holder, attribute, Stand(stack, lambda *_, **__: outputs)
            if self.where == "base" and holder is base_of(self.model):
                # Nothing is left that reads what the encoder says.
                stand = Stand(holder.encoder, lambda *_, **__: outputs)
                yield holder, "encoder", stand
            return
        yield stack, "layer", list(stack.layer)[self.blocks :]
        hidden = features["last_hidden_state"]
        yield holder, "embeddings", lambda *_, **__: hidden
        if hasattr(holder, "embeddings_project"):
            yield holder, "embeddings_project", lambda inputs, **_: inputs

    def _outputs(self, features: Features) -> Any:
        """The trunk's outputs as its last layer would give them."""
        outputs = transformers.modeling_tf_outputs
        # Read by place too, so none may be missing, not even one that nobody uses.
        features = {"last_hidden_state": tf.zeros([]), **features}
        is_whole = self.where == "base" and base_of(self.model) is not self.model
        # Some models ask for the past of a decoder; there is none in training.
        if is_whole and self.model.config.is_encoder_decoder:
            return outputs.TFSeq2SeqModelOutput(**features, past_key_values=())
        return outputs.TFBaseModelOutputWithPoolingAndCrossAttentions(
            **features, past_key_values=()
        )


def find_cut(model: keras.Model) -> Cut | None:
    """The longest trunk of a model that does not train, or `None`.

    A T5 whose head is the embedding matrix has none where the head trains, and a part
    of an encoder is found where its blocks are in a plain list, as BERT has them.

    Args:
        model: A built model with its method applied.
    """
    layout = layout_of(model)
    parameters = torch_parameters(model)
    trainable = {id(variable) for variable in model.trainable_variables}
    trained = {n for n, p in parameters.items() if id(p.variable) in trainable}
    head = layout.part("head")
    if head and trained <= head:
        return Cut(model, "base")
    if model.config.is_encoder_decoder:
        is_frozen = not any(_before_decoder(name, layout) for name in trained)
        return Cut(model, "encoder") if is_frozen else None
    blocks = _frozen_blocks(trained, layout)
    return Cut(model, "blocks", blocks) if blocks and _has_block_list(model) else None


def split_features(
    batch: Mapping[str, tf.Tensor],
) -> tuple[dict[str, tf.Tensor], Features]:
    """A batch's own tensors, and the trunk's outputs that were put beside them.

    >>> split_features({"labels": 1, "trunk/pooler_output": 2})
    ({'labels': 1}, {'pooler_output': 2})
    """
    own = {n: value for n, value in batch.items() if not n.startswith(PREFIX)}
    features = {
        n.removeprefix(PREFIX): v for n, v in batch.items() if n.startswith(PREFIX)
    }
    return own, features


def call_model(
    model: keras.Model, batch: Mapping[str, tf.Tensor], *, training: bool
) -> Any:
    """The model's outputs, from the trunk's where the batch has them.

    Packed examples are kept apart from each other. What neither the loss nor a
    classifier's logits come from is not computed: with labels the logits of a model
    that writes text may be those of `labelled_tokens_only`, and hidden states those of
    `first_token_only`.
    """
    if is_packed(batch):
        return call_packed(model, batch, training=training)
    own, features = split_features(batch)
    with contextlib.ExitStack() as within:
        if features:
            within.enter_context(find_cut(model).replayed(features))
        within.enter_context(first_token_only(model))
        if "labels" in own and model.can_generate():
            within.enter_context(labelled_tokens_only(model, own["labels"]))
        return call_as_written(model, own, training=training)


def _no_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    del labels, logits
    return tf.zeros([1])


def _before_decoder(name: str, layout: Layout) -> bool:
    """Whether a parameter belongs to the encoder or to the embeddings it reads."""
    return layout.parts[name] == "embeddings" or "encoder" in name.split(".")[:2]


def _frozen_blocks(trained: set[str], layout: Layout) -> int:
    """How many of the first blocks of an encoder have nothing in or before them."""
    blocks = layout.blocks.get("encoder", ())
    allowed = layout.part("head") | layout.after_blocks.get("encoder", frozenset())
    frozen = 0
    for block in blocks:
        if any(name.startswith(f"{block.name}.") for name in trained):
            break
        frozen += 1
    after = tuple(f"{block.name}." for block in blocks[frozen:])
    outside = {n for n in trained if n not in allowed and not n.startswith(after)}
    return 0 if outside else frozen


def _has_block_list(model: keras.Model) -> bool:
    base = base_of(model)
    stack = getattr(base, "encoder", None) or getattr(base, "transformer", None)
    return isinstance(getattr(stack, "layer", None), list | tuple) and hasattr(
        base, "embeddings"
    )
