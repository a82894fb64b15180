"""The fields of RunConfig about devices; their descriptions are the `--help` texts."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from kerastune_llm.config_groups import Group
from kerastune_llm.config_values import Interval


class RuntimeConfig(Group):
    """Devices, precision and chance."""

    strategy: Literal["auto", "one", "mirrored", "multiworker", "tpu"] = Field(
        "auto",
        description="auto: the workers that TF_CONFIG or Slurm name, else a TPU, else "
        "all GPUs if there are several, else one device",
    )
    worker_timeout: PositiveFloat = Field(
        600.0, description="seconds to wait for the other workers to arrive"
    )
    precision: Literal["float32", "mixed_bfloat16", "bfloat16", "mixed_float16"] = (
        Field(
            "float32",
            description="mixed: float32 weights, computed with in 16 bits; bfloat16: "
            "frozen weights are kept in it, too; mixed_float16 is refused for T5, "
            "where it gives NaN",
        )
    )
    steps_per_execution: PositiveInt | None = Field(
        None,
        description="updates that TensorFlow runs in one call, for TPUs: they need not "
        "wait for the host; it ends early where an evaluation or a checkpoint comes "
        "(default: 1, and on one device more where an update is short)",
    )
    jit: bool = Field(
        False,
        description="compile the training step with XLA; batches then have few widths",
    )
    memory_limit: PositiveFloat | None = Field(
        None,
        description="GiB of memory that a run may take (default: what is free); on a "
        "CPU it ends when it has taken more",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="keep only what goes into each block for the backward pass, and "
        "compute the rest again: less memory, more time; not with --runtime.jit, as "
        "XLA does not keep to an order of operations",
    )
    seed: NonNegativeInt = Field(42, description="initial weights, dropout, data order")
    trunk_cache: bool | None = Field(
        None,
        description="compute what lies below the first trained layer once, without its "
        "dropout (default: where it has none)",
    )
    trunk_cache_memory: PositiveFloat = Field(
        2.0, description="gigabytes of it kept in memory; more goes to disk"
    )
    trunk_cache_precision: Literal["bfloat16"] | None = Field(
        None,
        description="numbers of it kept in 16 bits, half of the memory (default: as "
        "they are computed)",
    )
    checkpoint_every: Interval = Field(
        "5m",
        description="state to resume from, besides before every evaluation: every N "
        "steps, or 90s, 5m, 1h; never",
    )
    keep_checkpoints: PositiveInt = Field(2, description="the newest ones that stay")
