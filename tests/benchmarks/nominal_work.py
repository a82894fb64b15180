"""What a workload asks for whoever does it: tokens and operations of an example."""

from dataclasses import dataclass

from workloads import Spec, read_rows

from kerastune_llm import apply_method, load_tokenizer
from kerastune_llm.models.flops import step_work
from kerastune_llm.models.model_config import load_config
from kerastune_llm.models.surgery import shapes_only


@dataclass(frozen=True)
class NominalWork:
    """The mean example of a workload's training rows.

    Args:
        tokens: Of input and target, without padding.
        flops: Operations of the matrix products of a training step, padding left out,
            frozen layers without their backward pass, nothing kept from another epoch.
    """

    tokens: float
    flops: float


def nominal_work(spec: Spec) -> NominalWork:
    """Count what the training rows of a workload ask for."""
    workload, rows = spec.workload, read_rows(spec.train)
    tokenizer = load_tokenizer(spec.model)

    def lengths(column: str, limit: int) -> list[int]:
        texts = [row[column] for row in rows]
        ids = tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
        return [len(each) for each in ids]

    inputs = lengths("input", workload.max_input_tokens)
    targets = [0] * len(rows)
    if workload.task == "squad":
        targets = lengths("target", workload.max_target_tokens)
    with shapes_only(load_config(spec.model)) as model:
        apply_method(model, workload.method, **workload.options)
        work = step_work(model)
    flops = [work.flops(1, n, m) for n, m in zip(inputs, targets, strict=True)]
    return NominalWork((sum(inputs) + sum(targets)) / len(rows), sum(flops) / len(rows))
