"""Which variables of a model train, and how many parameters there are of each part."""

import contextlib
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from kerastune_llm.backend import keras, tf, transformers
from kerastune_llm.models.layout import PARTS, Part, layout_of
from kerastune_llm.models.torch_layout import torch_parameters


@dataclass(frozen=True)
class PartCount:
    """Numbers of parameters of one part of a model.

    Args:
        part: The part.
        total: All of them.
        trainable: Those that train, sooner or later in the run.
        later: Those of `trainable` that do not train from the first update on.
    """

    part: Part
    total: int
    trainable: int
    later: int = 0


@dataclass(frozen=True)
class ParameterTable:
    """Numbers of parameters by part, each variable counted once.

    Args:
        rows: The parts that have parameters, in the order of `layout.PARTS`.
        head_is_tied: Whether the embeddings' row also holds the LM head's matrix.
    """

    rows: tuple[PartCount, ...]
    head_is_tied: bool = False

    @property
    def total(self) -> int:
        """Parameters of the whole model."""
        return sum(row.total for row in self.rows)

    @property
    def trainable(self) -> int:
        """Parameters that train, sooner or later."""
        return sum(row.trainable for row in self.rows)

    @property
    def later(self) -> int:
        """Parameters that train, but not from the first update on."""
        return sum(row.later for row in self.rows)

    @property
    def percent(self) -> float:
        """Trainable parameters in percent of all."""
        return percent_of(self.trainable, self.total)


def percent_of(count: int, total: int) -> float:
    """`count` in percent of `total`; 0 of nothing is 0.

    >>> percent_of(1, 4)
    25.0
    """
    return 100.0 * count / total if total else 0.0


def table_rows(table: ParameterTable) -> list[tuple[str, int, int, float]]:
    """The table as plain rows `(part, total, trainable, percent)`, the sum last.

    >>> table_rows(ParameterTable((PartCount("encoder", 8, 2),)))
    [('encoder', 8, 2, 25.0), ('all', 8, 2, 25.0)]
    """
    rows = [
        (_label(row.part, table), row.total, row.trainable) for row in table.rows
    ] + [("all", table.total, table.trainable)]
    return [(name, total, some, percent_of(some, total)) for name, total, some in rows]


def set_trainable(model: keras.Model, names: Collection[str]) -> None:
    """Make exactly the variables with these PyTorch names train, and no others.

    Plain `model.trainable_variables`, `fit` and `summary()` follow. It may be called
    again with other names; all names undo every freezing. Fixed parameters
    (`Layout.fixed`) never train, named or not.

    Every layer stays `trainable`, and frozen variables move to the non-trainable ones
    of the layer that owns them. `layer.trainable = False` would not do: it spreads to
    sublayers, and T5's embedding is a sublayer of the encoder, of the decoder and the
    tied head at once; and during `fit` Keras puts the flags back to what they were at
    `compile`, container by container, which thaws such a shared layer.

    A compiled model follows at the next `fit` when variables freeze; when variables
    thaw that its optimizer has not seen, compile it again.

    Args:
        model: A built transformers model.
        names: Names as in `torch_parameters(model)`.

    Raises:
        KeyError: A name is not in the model; nothing has been changed then.
    """
    parameters = torch_parameters(model)
    unknown = sorted(set(names) - set(parameters))
    if unknown:
        raise KeyError(f"The model has no parameters {', '.join(unknown)}.")
    trained = set(names) - layout_of(model).fixed
    chosen = {id(parameters[name].variable) for name in trained}
    model.trainable = True
    for layer in model._flatten_layers():
        _set_own(layer, chosen)
    # A step traced before holds the old list of variables.
    model.train_function = None


def trainable_names(model: keras.Model) -> frozenset[str]:
    """PyTorch names of the parameters that train now."""
    trainable = {id(variable) for variable in model.trainable_variables}
    parameters = torch_parameters(model).items()
    return frozenset(name for name, p in parameters if id(p.variable) in trainable)


def count_parameters(model: keras.Model, later: Collection[str] = ()) -> ParameterTable:
    """Total and trainable parameters of a built model by part.

    Args:
        model: A built transformers model.
        later: Names of parameters that train later in the run, if they do not yet.
    """
    layout, trainable = layout_of(model), trainable_names(model)
    counts = {part: PartCount(part, 0, 0) for part in PARTS}
    for name, parameter in torch_parameters(model).items():
        row, size = counts[layout.parts[name]], parameter.variable.shape.num_elements()
        waits = name in later and name not in trainable
        counts[row.part] = PartCount(
            row.part,
            row.total + size,
            row.trainable + size * (waits or name in trainable),
            row.later + size * waits,
        )
    rows = tuple(row for row in counts.values() if row.total)
    return ParameterTable(rows, layout.head_is_tied)


@contextlib.contextmanager
def shapes_only(config: transformers.PretrainedConfig) -> Iterator[keras.Model]:
    """The built model a configuration describes, without memory for its weights.

    It lives in a graph that never runs, where a variable is a shape: methods can be
    applied to it, and nothing computed with it.

    Args:
        config: Of an encoder-decoder (built with its LM head) or of an encoder (built
            with a classifier over `config.num_labels`).
    """
    auto = (
        transformers.TFAutoModelForSeq2SeqLM
        if config.is_encoder_decoder
        else transformers.TFAutoModelForSequenceClassification
    )
    with tf.Graph().as_default(), warnings.catch_warnings():
        # About equal initial values, which are never drawn here.
        warnings.filterwarnings("ignore", message="The initializer .* is unseeded")
        model = auto.from_config(config)
        model.build_in_name_scope()
        yield model


def count_parameters_of_config(
    config: transformers.PretrainedConfig,
    prepare: Callable[[keras.Model], object] | None = None,
) -> ParameterTable:
    """Count the model a configuration describes, as `shapes_only` builds it.

    Args:
        config: The configuration.
        prepare: Called with the built model before the count: what applies a method.
    """
    with shapes_only(config) as model:
        if prepare is not None:
            prepare(model)
        return count_parameters(model)


def _label(part: Part, table: ParameterTable) -> str:
    tied = part == "embeddings" and table.head_is_tied
    return "embeddings (tied: also the head)" if tied else part


def _set_own(layer: keras.layers.Layer, chosen: set[int]) -> None:
    """Divide a layer's own variables into the chosen, which train, and the rest."""
    own = _own_variables(layer)
    # In place: Keras tracks a variable again when its list is assigned.
    layer._trainable_weights[:] = [v for v in own if id(v) in chosen]
    layer._non_trainable_weights[:] = [v for v in own if id(v) not in chosen]


def _own_variables(layer: keras.layers.Layer) -> list[tf.Variable]:
    """A layer's own variables in the order they were made.

    Moving variables between the two lists loses that order; attributes keep it.
    """
    lists = layer._trainable_weights + layer._non_trainable_weights
    tracked = {id(variable): variable for variable in lists}
    made = [tracked.pop(id(v)) for v in vars(layer).values() if id(v) in tracked]
    return [*made, *tracked.values()]
