"""The methods that a comparison is told to compare, each with options of its own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kerastune_llm.errors import UserError, UserErrors, unknown_name
from kerastune_llm.methods.method import make_method
from kerastune_llm.registry import METHODS

SYNTAX = "METHOD or METHOD:option=value,option=value, with commas between them"


@dataclass(frozen=True)
class Variant:
    """A method with some of its options given.

    Args:
        method: As registered.
        options: Hyper-parameters by name, as strings.
    """

    method: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """As it is written on the command line.

        >>> Variant("lora", {"rank": "32", "alpha": "32"}).label
        'lora:rank=32,alpha=32'
        """
        pairs = ",".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.method}:{pairs}" if pairs else self.method

    @property
    def slug(self) -> str:
        """A folder's name.

        >>> Variant("lora", {"rank": "32", "target_modules": "q,v"}).slug
        'lora-rank=32-target_modules=q-v'
        """
        return re.sub(r"[^\w=.-]+", "-", self.label)


def parse_variants(text: str) -> tuple[Variant, ...]:
    """The variants of `--methods`, each checked as a method.

    A part between commas begins a variant where it is a method's name, alone or
    before a colon. Any other part goes on with the options before it: `alpha=32` is a
    further option, `v` in `target_modules=q,v` belongs to the value.

    Raises:
        UserErrors: Unknown methods, options or values; a variant given twice.

    Example:
    >>> [variant.label for variant in parse_variants("full,lora:rank=4,alpha=8")]
    ['full', 'lora:rank=4,alpha=8']
    """
    found: list[tuple[str, dict[str, str]]] = []
    problems: list[UserError] = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, colon, pair = part.partition(":")
        if name in METHODS.names():
            found.append((name, {}))
            part = pair
        elif colon or not (found and found[-1][1]):
            problems.append(unknown_name("method", name, METHODS.names()))
            continue
        if part and not _add_option(found[-1][1], part):
            problems.append(_not_an_option(part))
    if not found and not problems:
        example = "--methods full,lora,head"
        problems.append(
            UserError("--methods must name the methods.", accepted=SYNTAX, mend=example)
        )
    variants = tuple(Variant(name, options) for name, options in found)
    problems += _unsuitable(variants)
    if problems:
        raise UserErrors(problems)
    return variants


def short_labels(variants: Sequence[Variant]) -> dict[str, str]:
    """By label, a name with only the options that tell a variant from the others.

    What all variants of a method have alike is left out, so that a method given once
    is its name alone.

    >>> found = parse_variants("lora:rank=4,alpha=8,lora:rank=8,alpha=8,full")
    >>> list(short_labels(found).values())
    ['lora:rank=4', 'lora:rank=8', 'full']
    """
    return {variant.label: _among(variant, variants).label for variant in variants}


def _among(variant: Variant, variants: Sequence[Variant]) -> Variant:
    alike = [other.options for other in variants if other.method == variant.method]
    differing = {
        name: value
        for name, value in variant.options.items()
        if any(options.get(name) != value for options in alike)
    }
    return Variant(variant.method, differing)


def _add_option(options: dict[str, str], part: str) -> bool:
    """Take `name=value` as an option, anything else as more of the last value."""
    name, sign, value = part.partition("=")
    if sign and name.strip().isidentifier():
        options[name.strip()] = value.strip()
    elif options and not sign:
        last = next(reversed(options))
        options[last] = f"{options[last]},{part}"
    else:
        return False
    return True


def _not_an_option(part: str) -> UserError:
    return UserError("This is no option of a method.", accepted=SYNTAX, received=part)


def _unsuitable(variants: tuple[Variant, ...]) -> list[UserError]:
    problems = []
    slugs = [variant.slug for variant in variants]
    for index, variant in enumerate(variants):
        if slugs[index] in slugs[:index]:
            problems.append(
                UserError("--methods names a method twice.", received=variant.label)
            )
        try:
            make_method(variant.method, variant.options)
        except UserError as problem:
            problems.append(UserError(f"{variant.label}: {problem}"))
    return problems


def parse_learning_rates(text: str) -> dict[str, float]:
    """Peak learning rates by method, out of `lora=1e-3,full=5e-5`.

    Raises:
        UserErrors: What is no positive number.

    Example:
    >>> parse_learning_rates("lora=1e-3,full=5e-5")
    {'lora': 0.001, 'full': 5e-05}
    """
    rates: dict[str, float] = {}
    problems: list[UserError] = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, number = part.partition("=")
        rate = _positive(number)
        if rate is None:
            problems.append(
                UserError(
                    "--learning-rates takes a positive number for each method.",
                    accepted="lora=1e-3,full=5e-5",
                    received=part,
                )
            )
        else:
            rates[name.strip()] = rate
    if problems:
        raise UserErrors(problems)
    return rates


def _positive(number: str) -> float | None:
    try:
        value = float(number)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
