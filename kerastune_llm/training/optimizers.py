"""One Keras optimizer for all rules: clipping, decay groups, one fused update."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError, unknown_name
from kerastune_llm.registry import OPTIMIZERS
from kerastune_llm.training.update_rules.rule import Pace, Weight
from kerastune_llm.training.used_rows import UsedRows

# The names the Hugging Face Trainer leaves out of weight decay (biases and norms), and
# what Keras calls the weights of a LayerNormalization.
NO_DECAY = (
    r"(?i)bias",
    r"(?i)layernorm",
    r"(?i)rmsnorm",
    r"(?i)(?:^|[./])norm(?:$|[./])",
    r"(?i)_norm(?:$|[./])",
    r"/(?:gamma|beta)(?::\d+)?$",
)

# torch.nn.utils.clip_grad_norm_ divides by the norm plus this.
_CLIP_EPSILON = 1e-6

LearningRate = float | keras.optimizers.schedules.LearningRateSchedule


@keras.utils.register_keras_serializable("kerastune_llm")
class RuleOptimizer(keras.optimizers.Optimizer):
    """A Keras optimizer that applies a registered update rule.

    Gradients are summed over replicas, made dense (the moments of an embedding decay
    at every step in PyTorch, used or not), clipped by their global norm and handed to
    the rule. `build_optimizer` makes one and checks its arguments.

    Args:
        rule: A name in the optimizer register.
        learning_rate: A number, or a Keras schedule of the completed updates.
        weight_decay: For every variable whose name matches nothing in `no_decay`.
        clip_norm: Largest global norm of the gradients; 0 for no clipping.
        no_decay: Regular expressions searched for in variable names.
        use_fused: Compile the update of all variables together with XLA. `None`: on
            one replica only, because each replica holds its own variables.
        hyper: Hyper-parameters of the rule.

    Attributes:
        gradient_norm: Variable with the last global gradient norm, before clipping.
    """

    def __init__(
        self,
        rule: str,
        learning_rate: LearningRate,
        *,
        weight_decay: float = 0.0,
        clip_norm: float = 0.0,
        no_decay: Sequence[str] = NO_DECAY,
        use_fused: bool | None = None,
        hyper: Mapping[str, float | bool] | None = None,
    ) -> None:
        # jit_compile would compile each variable's update on its own.
        super().__init__(rule, weight_decay=weight_decay, jit_compile=False)
        self.rule_name = rule
        self.rule = OPTIMIZERS.get(rule)(**(hyper or {}))
        self.clip_norm = clip_norm
        self.no_decay = tuple(no_decay)
        self.use_fused = use_fused
        self.exclude_from_weight_decay(var_names=list(no_decay))
        self._learning_rate = self._build_learning_rate(learning_rate)
        self._slots = self._no_dependency({})
        self._used_rows: dict[str, UsedRows] = self._no_dependency({})
        self._fused_updates = self._no_dependency({})
        self._first_updates: dict[str, int] = self._no_dependency({})
        with tf.init_scope():
            self.gradient_norm = tf.Variable(
                0.0,
                name="gradient_norm",
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        super().build(var_list)
        for variable in var_list:
            key = self._var_key(variable)
            if key in self._slots:
                continue
            # Keras numbers only the variables of the first call.
            self._index_dict.setdefault(key, len(self._index_dict))
            used, shape = self._used_rows.get(key), tuple(variable.shape)
            shapes = self.rule.slots((len(used.rows), *shape[1:]) if used else shape)
            self._slots[key] = {
                name: self.add_variable_from_reference(variable, name, shape=own_shape)
                for name, own_shape in shapes.items()
            }
        self._built = True

    def use_rows(self, matrix: tf.Variable, rows: np.ndarray) -> None:
        """Update some rows of a matrix alone, for the others never have a gradient.

        What is remembered is of these rows, too. All are updated where those without a
        gradient move: by weight decay, or by a rule that looks at the whole matrix.
        Call it before the optimizer is built.

        Args:
            matrix: A variable that the model looks rows up in.
            rows: The numbers of those it looks up, in order, int32.
        """
        decays = self.weight_decay and self._use_weight_decay(matrix)
        if self.rule.is_elementwise and not decays:
            used = UsedRows(rows, matrix.shape[0])
            self._used_rows[self._var_key(matrix)] = used

    def count_updates_from(self, step: int, variables: Sequence[tf.Variable]) -> None:
        """Count the updates of these variables from the run's update `step` on.

        For weights that thaw in the middle of a run: their moments begin there, and
        the correction of that beginning goes by the count, as in PyTorch, which counts
        for every weight alone. A training step traced before does not know of it.

        Args:
            step: Completed updates of the run when the variables begin to train.
            variables: Of the model.
        """
        self._first_updates.update((self._var_key(v), step) for v in variables)

    def slots_of(self, variable: tf.Variable) -> Mapping[str, tf.Variable]:
        """What is remembered of a variable, by name; nothing before it is built."""
        return self._slots.get(self._var_key(variable), {})

    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[tf.Tensor | tf.IndexedSlices, tf.Variable]],
        *arguments: Any,
        **options: Any,
    ) -> tf.Tensor:
        """Keras' own, on the gradients of those rows that are used."""
        pairs = []
        for gradient, variable in grads_and_vars:
            used = self._used_rows.get(self._var_key(variable))
            own = used.of_gradient(gradient) if used else gradient
            pairs.append((own, variable))
        return super().apply_gradients(pairs, *arguments, **options)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        self._update(gradient, variable, self.learning_rate, self.iterations + 1)

    def get_config(self) -> dict:
        return {
            "rule": self.rule_name,
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "weight_decay": self.weight_decay,
            "clip_norm": self.clip_norm,
            "no_decay": list(self.no_decay),
            "use_fused": self.use_fused,
            "hyper": dataclasses.asdict(self.rule),
        }

    def _update(
        self,
        gradient: tf.Tensor,
        variable: tf.Variable,
        learning_rate: tf.Tensor,
        step: tf.Tensor,
    ) -> None:
        key = self._var_key(variable)
        slots, used = self._slots[key], self._used_rows.get(key)
        value = used.read(variable) if used else tf.convert_to_tensor(variable)
        weight = Weight(
            value,
            tf.cast(gradient, value.dtype),
            {name: tf.convert_to_tensor(slot) for name, slot in slots.items()},
        )
        pace = Pace(
            tf.cast(step - self._first_updates.get(key, 0), value.dtype),
            tf.cast(learning_rate, value.dtype),
            self.weight_decay if self._use_weight_decay(variable) else 0.0,
        )
        new_value, new_slots = self.rule.update(weight, pace)
        if used:
            used.write(variable, new_value)
        else:
            variable.assign(new_value)
        for name, slot in slots.items():
            slot.assign(new_slots[name])

    def _clip_gradients(self, grads: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Dense gradients, clipped; Keras calls it after the sum over replicas."""
        gradients = [tf.convert_to_tensor(gradient) for gradient in grads]
        norm = tf.cast(tf.linalg.global_norm(gradients), tf.float32)
        self.gradient_norm.assign(norm)
        if not self.clip_norm:
            return gradients
        share = tf.minimum(self.clip_norm / (norm + _CLIP_EPSILON), 1.0)
        return [gradient * tf.cast(share, gradient.dtype) for gradient in gradients]

    def _apply_weight_decay(self, variables: Sequence[tf.Variable]) -> None:
        """Nothing: where the decay comes in is part of the rule."""

    def _internal_apply_gradients(
        self, grads_and_vars: Sequence[tuple[tf.Tensor, tf.Variable]]
    ) -> tf.Tensor:
        on_one_replica = self._distribution_strategy.num_replicas_in_sync == 1
        if not (on_one_replica if self.use_fused is None else self.use_fused):
            return super()._internal_apply_gradients(grads_and_vars)
        gradients, variables = zip(*grads_and_vars, strict=True)
        update = self._fused_update(variables)
        update(gradients, tf.convert_to_tensor(self.learning_rate), self.iterations + 1)
        return self.iterations.assign_add(1)

    def _fused_update(
        self, variables: tuple[tf.Variable, ...]
    ) -> Callable[[tuple[tf.Tensor, ...], tf.Tensor, tf.Tensor], None]:
        """The update of these variables as one function for XLA, made once."""

        def update_all(
            gradients: tuple[tf.Tensor, ...], learning_rate: tf.Tensor, step: tf.Tensor
        ) -> None:
            for gradient, variable in zip(gradients, variables, strict=True):
                self._update(gradient, variable, learning_rate, step)

        keys = [self._var_key(variable) for variable in variables]
        key = tuple((each, self._first_updates.get(each, 0)) for each in keys)
        if key not in self._fused_updates:
            self._fused_updates[key] = tf.function(
                update_all, jit_compile=True, autograph=False
            )
        return self._fused_updates[key]


def build_optimizer(
    name: str,
    *,
    learning_rate: LearningRate,
    weight_decay: float = 0.0,
    clip_norm: float = 0.0,
    no_decay: Sequence[str] = NO_DECAY,
    use_fused: bool | None = None,
    **hyper: float | bool,
) -> RuleOptimizer:
    """An optimizer by its registered name; make it inside the strategy's scope.

    Args:
        name: A name of the optimizer register, such as `"adamw"`.
        learning_rate: A number, or the result of `build_schedule`.
        weight_decay: Decay of all weights but those of `no_decay`.
        clip_norm: Largest global norm of the gradients; 0 for no clipping.
        no_decay: Regular expressions searched for in variable names; default: biases
            and norms, as the Hugging Face Trainer.
        use_fused: Compile the update as one XLA function; default: on one replica.
        **hyper: Hyper-parameters of the rule, such as `beta_2`.

    Raises:
        UserError: An unknown name or hyper-parameter, or a negative number.

    Example:
    >>> optimizer = build_optimizer("adamw", learning_rate=5e-5, beta_2=0.98)
    >>> optimizer.rule
    AdamW(beta_1=0.9, beta_2=0.98, epsilon=1e-08)
    """
    fields = [field.name for field in dataclasses.fields(OPTIMIZERS.get(name))]
    for given in hyper:
        if given not in fields:
            raise unknown_name(f"hyper-parameter of {name}", given, fields)
    for label, number in (("weight decay", weight_decay), ("clip norm", clip_norm)):
        if not number >= 0:
            raise UserError(f"The {label} must not be negative.", received=number)
    return RuleOptimizer(
        name,
        learning_rate,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        no_decay=no_decay,
        use_fused=use_fused,
        hyper=hyper,
    )
