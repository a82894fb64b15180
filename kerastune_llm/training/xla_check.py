"""What of a step a TPU would not run, found by compiling it for XLA without a TPU.

XLA compiles for a TPU what it compiles for a CPU, but for some types of numbers; what
these checks cannot tell is whether the step fits into a TPU's memory, and its speed.
"""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tensorflow.python.framework import kernels

from kerastune_llm.backend import tf

GraphFunction = tf.types.experimental.PolymorphicFunction

# The XLA compiler of every TensorFlow; a TPU's own is there where a TPU is.
_COMPILER = "XLA_CPU_JIT"
# Handed in from outside, or left out when the graph is compiled.
_NOT_COMPUTED = frozenset({"Placeholder", "Assert", "NoOp"})
# What XLA has a kernel for, though the size of its result depends on values.
_OF_OPEN_SIZE = frozenset({"Where", "Unique", "UniqueV2", "DynamicPartition"})
_WITHOUT_TPU = {
    tf.string: "texts stay on the host",
    tf.complex128: "TPUs have no such numbers",
    tf.float64: "TPUs have no such numbers, and would compute them by many of float32",
}
_OPEN_DIMENSION = re.compile(r"\[[^\]]*<=")
# Of HLO: what waits for the host.
_HOST_HLO = re.compile(r" = \S+ (infeed|outfeed|send|recv)\(")
_CUSTOM_CALL = re.compile(r'custom_call_target="([^"]+)"')
# Names that XLA has for computations of its own.
_OWN_CALLS = frozenset({"TopK", "Sharding", "SPMDFullToShardShape"})


@dataclass(frozen=True)
class XlaCheck:
    """What was found about a function.

    Args:
        ops: How many operations its graph has, those of the functions it calls too.
        kinds: How many kinds of them.
        obstacles: Why a TPU would not run it, a sentence each; none: it would.
        hlo_lines: Length of what XLA made of it; 0 where it made nothing.
    """

    ops: int
    kinds: int
    obstacles: tuple[str, ...]
    hlo_lines: int

    @property
    def compiles(self) -> bool:
        """Whether nothing was found."""
        return not self.obstacles


def check_for_tpu(function: GraphFunction, *arguments: Any) -> XlaCheck:
    """Trace a function and compile all of it, without running it.

    Args:
        function: A `tf.function` with `jit_compile=True`.
        *arguments: Tensors, or `TensorSpec`s of them; of static shapes.
    """
    _register_kernels()
    concrete = function.get_concrete_function(*arguments)
    nodes = list(_nodes(concrete))
    obstacles = [*_open_inputs(concrete), *_of_nodes(nodes)]
    hlo = ""
    if not obstacles:
        # It takes no specs inside of a dict. What the tensors hold is never read.
        tensors = tf.nest.map_structure(_tensor, arguments)
        try:
            hlo = function.experimental_get_compiler_ir(*tensors)(stage="hlo")
        except (tf.errors.OpError, ValueError, TypeError) as error:
            obstacles = [f"XLA does not compile it: {_shortened(error)}"]
    obstacles += _of_hlo(hlo)
    kinds = len({node.op for node in nodes})
    return XlaCheck(len(nodes), kinds, tuple(obstacles), len(hlo.splitlines()))


@functools.cache
def _register_kernels() -> None:
    """See that TensorFlow knows XLA's kernels: once XLA has compiled anything."""
    tf.function(lambda: tf.zeros([]), jit_compile=True)()


def _tensor(argument: tf.Tensor | tf.TensorSpec) -> tf.Tensor:
    if isinstance(argument, tf.TensorSpec):
        return tf.zeros(argument.shape, argument.dtype)
    return argument


def _nodes(
    concrete: tf.types.experimental.ConcreteFunction,
) -> Iterator[tf.compat.v1.NodeDef]:
    definition = concrete.graph.as_graph_def()
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def _open_inputs(
    concrete: tf.types.experimental.ConcreteFunction,
) -> Iterator[str]:
    for tensor in concrete.inputs:
        # Variables come in as handles.
        if tensor.dtype != tf.resource and not tensor.shape.is_fully_defined():
            yield f"the shape of the input {tensor.name} is open: {tensor.shape}"


def _of_nodes(nodes: Iterable[tf.compat.v1.NodeDef]) -> list[str]:
    found: Counter[str] = Counter()
    for node in nodes:
        why = _why_not(node)
        if why:
            found[why] += 1
    return [
        why if count == 1 else f"{why} ({count} times)" for why, count in found.items()
    ]


def _why_not(node: tf.compat.v1.NodeDef) -> str | None:
    if node.op in _NOT_COMPUTED:
        return None
    types = [tf.as_dtype(value) for value in _types(node)]
    if node.op == "Const" and tf.string in types:
        return None  # The message of an assertion; nothing is computed of it.
    for dtype, reason in _WITHOUT_TPU.items():
        if dtype in types:
            return f"{node.op} computes with {dtype.name}: {reason}"
    if node.op in _OF_OPEN_SIZE:
        return f"{node.op} has as many results as its values decide"
    if not _has_kernel(node.op):
        return f"{node.op} runs on the host alone"
    return None


def _types(node: tf.compat.v1.NodeDef) -> Iterator[int]:
    for value in node.attr.values():
        if value.WhichOneof("value") == "type":
            yield value.type
        elif value.WhichOneof("value") == "list":
            yield from value.list.type


@functools.cache
def _has_kernel(op: str) -> bool:
    """Whether XLA can compute it; which does not change once kernels are registered."""
    registered = kernels.get_registered_kernels_for_op(op).kernel
    return any(kernel.device_type == _COMPILER for kernel in registered)


def _of_hlo(hlo: str) -> Iterator[str]:
    if _OPEN_DIMENSION.search(hlo):
        yield "a shape inside depends on values"
    for name in sorted(set(_HOST_HLO.findall(hlo))):
        yield f"it waits for the host ({name})"
    for target in sorted(set(_CUSTOM_CALL.findall(hlo)) - _OWN_CALLS):
        yield f"it calls {target}, which a TPU may not have"


def _shortened(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
