"""What `kerastune bench` measured, what limits it, and which flag would help."""

from dataclasses import dataclass
from typing import Literal

from kerastune_llm.config import RunConfig

Limit = Literal["input", "compute", "optimizer", "padding"]
# A share of the time that is worth a flag.
WORTH = 0.15


@dataclass(frozen=True)
class Figures:
    """The figures of a configuration on this machine; they are the keys of the json.

    Args:
        steps: Updates that were timed, after the warm-up.
        examples_per_second: Examples, packed ones too.
        tokens_per_second: Tokens of inputs and labels that are no padding.
        seconds_per_step: Mean.
        seconds_to_first_step: From the command to the end of the first update.
        peak_memory: Largest resident memory of the process, bytes.
        parameters: Of the model, a method's included.
        trainable: Those that train.
        padding: Share of the timed batches' places that is padding.
        shapes: Different shapes among the batches of an epoch; of a stream, among
            those that were timed.
        input_share: Share of a step spent waiting for its batch.
        optimizer_share: Share spent in the update.
        compute_share: Share spent in forward and backward pass: the rest.
        flops_per_step: Of matrix products, padding included: `models/flops.py`.
        matrix_flops: A second, of a large matrix product in the same process.
        utilisation: `flops_per_step` in the time of a step, of `matrix_flops`.
        trunk_seconds: For computing a frozen trunk once for all rows, estimated from
            those that were timed; 0 where none is kept.
        limit: What most of the time goes into that is not needed, or `"compute"`.
        advice: Flags that would help, the most helpful first.
    """

    steps: int
    examples_per_second: float
    tokens_per_second: float
    seconds_per_step: float
    seconds_to_first_step: float
    peak_memory: int
    parameters: int
    trainable: int
    padding: float
    shapes: int
    input_share: float
    optimizer_share: float
    compute_share: float
    flops_per_step: float
    matrix_flops: float
    utilisation: float
    trunk_seconds: float
    limit: Limit
    advice: tuple[str, ...]


def find_limit(
    *, input_share: float, optimizer_share: float, padding: float
) -> tuple[Limit, dict[Limit, float]]:
    """What limits a configuration, and the share of the time that each thing takes.

    The time in forward and backward pass is divided by the share of padding. Compute
    limits where none of the others takes more than is worth a flag.

    >>> find_limit(input_share=0.5, optimizer_share=0.1, padding=0.2)[0]
    'input'
    >>> find_limit(input_share=0.0, optimizer_share=0.1, padding=0.1)[0]
    'compute'
    """
    compute = max(0.0, 1 - input_share - optimizer_share)
    others: dict[Limit, float] = {
        "input": input_share,
        "optimizer": optimizer_share,
        "padding": compute * padding,
    }
    worst = max(others, key=others.__getitem__)
    shares = others | {"compute": compute * (1 - padding)}
    return (worst if others[worst] >= WORTH else "compute"), shares


def advise(
    config: RunConfig,
    shares: dict[Limit, float],
    *,
    can_pack: bool,
    has_idle_trunk: bool,
    keeps_trunk: bool,
    saved_in_16_bits: float,
) -> tuple[str, ...]:
    """Flags that would help a configuration, by the share of the time they are about.

    Args:
        config: The configuration.
        shares: Of the time, by what it goes into: `find_limit`.
        can_pack: Whether its rows can be packed.
        has_idle_trunk: Whether the model's first layers stay frozen.
        keeps_trunk: Whether their outputs are kept.
        saved_in_16_bits: Of the time, what products of bfloat16 would take less.
    """
    found: list[tuple[float, str]] = []
    optim, data = config.optim, config.data
    if shares["input"] >= WORTH:
        streams = "--no-data.streaming: rows are tokenised while the model waits"
        larger = f"--optim.batch-size {2 * optim.batch_size}: fewer, larger batches"
        found.append((shares["input"], streams if data.streaming else larger))
    if shares["padding"] >= WORTH:
        if data.batching in ("pad", "fixed"):
            text = "--data.batching bucket: rows of like length together"
        elif data.batching == "bucket" and can_pack and not keeps_trunk:
            text = "--data.batching pack: several examples in a row"
        else:
            text = "a smaller --optim.batch-size: rows of a batch are more alike"
        found.append((shares["padding"], text))
    if shares["optimizer"] >= WORTH:
        larger = f"--optim.batch-size {2 * optim.batch_size}: half as many updates"
        found.append((shares["optimizer"], larger))
        if config.method.name == "full":
            lora = "--method lora: far fewer weights to update"
            found.append((0.9 * shares["optimizer"], lora))
    can_keep = not data.streaming and data.batching != "pack"
    if has_idle_trunk and can_keep and not keeps_trunk:
        kept = "--runtime.trunk-cache: the frozen layers once, not every epoch"
        found.append((shares["compute"], kept))
    elif config.method.name == "full":
        lora = "--method lora: no weight gradients of the base model's matrices"
        found.append((shares["compute"] / 3, lora))
    if saved_in_16_bits >= WORTH and "bfloat16" not in config.runtime.precision:
        faster = (
            "--runtime.precision mixed_bfloat16: faster products here, about "
            f"{100 * saved_in_16_bits:.0f} % of the time"
        )
        found.append((saved_in_16_bits, faster))
    ordered = sorted(found, key=lambda pair: -pair[0])
    return tuple(text for _, text in ordered)
