"""What of a model changes while it trains: trained weights and the optimizer's state.

Frozen weights are not in it; they are read again from where they came, and a
fingerprint tells whether they are the same.
"""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from kerastune_llm.backend import keras, tf  # isort: skip  (before transformers)

from safetensors import safe_open
from transformers.modeling_tf_pytorch_utils import TransposeType

from kerastune_llm.errors import UserError
from kerastune_llm.models.torch_layout import TorchParameter, torch_parameters
from kerastune_llm.training.optimizers import RuleOptimizer

_WEIGHT, _SLOT = "model/", "optimizer/"


def state_parameters(model: keras.Model) -> dict[str, TorchParameter]:
    """Everything to be saved, by a name that does not depend on any order.

    `model/<name>` are trained weights by their PyTorch names, in TensorFlow's axis
    order; `optimizer/<name>/<slot>` what the optimizer remembers of each.
    """
    return _state_of(model, _trained_names(model))


def restore_state(file: Path, model: keras.Model) -> None:
    """Assign what `state_parameters` named and a safetensors file holds.

    Raises:
        UserError: The file is of another model or method; nothing has changed then.
    """
    with safe_open(file, framework="numpy", backend="pread") as archive:
        stored = set(archive.keys())
        names = {x.removeprefix(_WEIGHT) for x in stored if x.startswith(_WEIGHT)}
        parameters = torch_parameters(model)
        if not _trained_names(model) <= names <= set(parameters):
            raise _of_another_model(file)
        with model.distribute_strategy.scope():
            variables = [v for n, v in _variables(parameters) if n in names]
            _rule_optimizer(model).build(variables)
        state = _state_of(model, names)
        shapes = {key: archive.get_slice(key).get_shape() for key in stored}
        if shapes != {key: list(p.shape) for key, p in state.items()}:
            raise _of_another_model(file)
        for key, parameter in state.items():
            variable = parameter.variable
            variable.assign(archive.get_tensor(key).reshape(variable.shape))
    # Keras keeps the schedule's value in a variable of its own.
    _rule_optimizer(model)._compute_current_learning_rate()


def frozen_fingerprint(model: keras.Model) -> str:
    """A digest of all weights that do not train, to recognise them by."""
    trained, digest = _trained_names(model), hashlib.sha256()
    for name, variable in _variables(torch_parameters(model)):
        if name not in trained:
            digest.update(name.encode())
            digest.update(variable.numpy().tobytes())
    return digest.hexdigest()


def _trained_names(model: keras.Model) -> set[str]:
    trainable = {id(variable) for variable in model.trainable_variables}
    named = _variables(torch_parameters(model))
    return {name for name, variable in named if id(variable) in trainable}


def _variables(
    parameters: dict[str, TorchParameter],
) -> Iterator[tuple[str, tf.Variable]]:
    return ((name, parameter.variable) for name, parameter in parameters.items())


def _state_of(model: keras.Model, names: Collection[str]) -> dict[str, TorchParameter]:
    optimizer = _rule_optimizer(model)
    found = {f"{_SLOT}iterations": optimizer.iterations}
    if optimizer is not model.optimizer:
        # The loss scale of mixed_float16, which Keras moves along.
        found[f"{_SLOT}loss_scale"] = model.optimizer._loss_scale.current_loss_scale
        found[f"{_SLOT}good_steps"] = model.optimizer.dynamic_counter
    for name, variable in _variables(torch_parameters(model)):
        if name in names:
            found[_WEIGHT + name] = variable
            for slot, value in optimizer.slots_of(variable).items():
                found[f"{_SLOT}{name}/{slot}"] = value
    return {
        key: TorchParameter(key, variable, TransposeType.NO)
        for key, variable in found.items()
    }


def _rule_optimizer(model: keras.Model) -> RuleOptimizer:
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def _of_another_model(file: Path) -> UserError:
    return UserError(
        "The checkpoint is of another model or method than this run's.",
        received=str(file),
        mend="resume with the configuration that the run was begun with",
    )
