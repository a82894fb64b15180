"""How optimizers change a weight, one frozen dataclass of hyper-parameters each.

A rule holds no state and creates no variable: `training.optimizers.RuleOptimizer` keeps
the slots and calls it. TensorFlow is imported where it computes, so that the names and
hyper-parameters can be listed and checked without it.
"""
