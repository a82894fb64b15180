"""What a flag that does not exist was meant to be."""

from collections.abc import Iterable

from kerastune_llm.errors import UserError, nearest

# Names that other programs have for it, the Trainer of transformers before all.
_ELSEWHERE = {
    "bf16": "--runtime.precision",
    "dataset": "--data.train",
    "dataset-name": "--data.train",
    "device": "--runtime.strategy",
    "eval-steps": "--evaluation.every",
    "fp16": "--runtime.precision",
    "gpu": "--runtime.strategy",
    "gpus": "--runtime.strategy",
    "gradient-accumulation-steps": "--optim.accumulate-steps",
    "learningrate": "--optim.learning-rate",
    "lr": "--optim.learning-rate",
    "lora-alpha": "--method.alpha",
    "lora-dropout": "--method.dropout",
    "lora-r": "--method.rank",
    "m": "--model",
    "max-grad-norm": "--optim.clip-norm",
    "max-length": "--data.max-input-tokens",
    "max-seq-length": "--data.max-input-tokens",
    "max-source-length": "--data.max-input-tokens",
    "max-target-length": "--data.max-target-tokens",
    "model-name-or-path": "--model",
    "num-train-epochs": "--optim.epochs",
    "o": "--output",
    "optimizer": "--optim.name",
    "out": "--output",
    "output-dir": "--output",
    "per-device-eval-batch-size": "--evaluation.batch-size",
    "per-device-train-batch-size": "--optim.batch-size",
    "r": "--method.rank",
    "resume-from-checkpoint": "--resume",
    "train-file": "--data.train",
    "validation-file": "--data.validation",
    "warmup-ratio": "--optim.warmup",
    "warmup-steps": "--optim.warmup",
}


def unknown_flag(name: str, known: Iterable[str]) -> UserError:
    """The error for a flag that does not exist, with what it may have meant.

    Args:
        name: With its dashes.
        known: The flags that exist.

    Example:
    >>> print(unknown_flag("--lr", ["--optim.learning-rate", "--help"]))
    Unknown flag --lr. Accepted: did you mean --optim.learning-rate?
    """
    alike = meant(name, known)
    return UserError(
        f"Unknown flag {name}.",
        accepted=f"did you mean {' or '.join(alike)}?" if alike else None,
        mend=None if alike else "`kerastune VERB --help` lists the flags",
    )


def meant(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The flags that an unknown one may have meant, best first.

    Those of the same name in a group, else what other programs call so, else those
    that are spelt alike.

    >>> flags = ["--optim.epochs", "--optim.name", "--model", "--optim.batch-size"]
    >>> meant("--batch_size", flags), meant("--epoch", flags), meant("--fp16", flags)
    (('--optim.batch-size',), ('--optim.epochs',), ())
    """
    flags = {flag.lstrip("-"): flag for flag in known}
    wanted = name.lstrip("-").replace("_", "-").lower()
    last = wanted.rpartition(".")[2]
    same = [flag for word, flag in flags.items() if word.rpartition(".")[2] == last]
    elsewhere = _ELSEWHERE.get(last)
    if same or elsewhere in flags.values():
        return tuple(same or (elsewhere,))
    whole = [flags[word] for word in nearest(wanted, flags)]
    ends = {word.rpartition(".")[2]: flag for word, flag in flags.items()}
    by_end = [ends[end] for end in nearest(last, ends)]
    return tuple(dict.fromkeys([*whole, *by_end] if "." in wanted else by_end))[:3]
