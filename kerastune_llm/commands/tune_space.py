"""What `kerastune tune` searches: flags, each with the values it may take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kerastune_llm.config import RunConfig, flags, merge
from kerastune_llm.errors import UserError, UserErrors, unknown_name
from kerastune_llm.methods.method import (
    DEFAULT_LEARNING_RATE,
    make_method,
    method_fields,
    own_learning_rate,
)

SYNTAX = (
    "optim.learning-rate=log:1e-5..1e-3 (log-uniform), optim.warmup=0..0.2 (uniform), "
    "method.rank=4..16 (whole numbers), method.rank=4|8|16 (one of these)"
)
# By hyper-parameter, for whichever method has it.
_DEFAULT_OPTIONS = {
    "rank": "4|8|16|32",
    "bottleneck": "8|16|32|64",
    "num_virtual_tokens": "10|20|50",
    "blocks": "1|2|3",
}
_WARMUP = "0|0.06|0.1"
_RATE_FACTOR = 10

Number = int | float


@dataclass(frozen=True)
class Dimension:
    """A flag and the values it may take: some choices, or a range.

    Args:
        path: Where the flag's value is in a configuration.
        choices: As strings, as a flag has them; none for a range.
        low: Smallest value of the range; whole numbers where both ends are.
        high: Largest value of the range, included.
        use_log: Whether the logarithm is uniform, not the number.
    """

    path: tuple[str, str]
    choices: tuple[str, ...] = ()
    low: Number = 0
    high: Number = 0
    use_log: bool = False

    @property
    def name(self) -> str:
        """The path with a dot, by which the value is known."""
        return ".".join(self.path)

    @property
    def values(self) -> str:
        """The values as `--space` has them.

        >>> parse_dimension("optim.learning-rate=log:1e-5..1e-3").values
        'log:1e-05..0.001'
        """
        if self.choices:
            return "|".join(self.choices)
        return f"{'log:' if self.use_log else ''}{self.low}..{self.high}"


def parse_dimension(text: str) -> Dimension:
    """One part of `--space`.

    Raises:
        UserError: It is not of the form.

    Example:
    >>> parse_dimension("method.rank=4|8").choices
    ('4', '8')
    >>> dimension = parse_dimension("--optim.learning-rate=log:1e-5..1e-3")
    >>> dimension.name, dimension.low, dimension.high, dimension.use_log
    ('optim.learning_rate', 1e-05, 0.001, True)
    >>> parse_dimension("method.rank=2..16").high
    16
    """
    name, _, values = text.partition("=")
    group, dot, field = name.strip().lstrip("-").replace("-", "_").partition(".")
    values = values.strip()
    if not dot or not values:
        raise _malformed(text)
    path = (group, field)
    if "|" in values:
        choices = tuple(part.strip() for part in values.split("|"))
        if not all(choices) or len(set(choices)) < len(choices):
            raise _malformed(text)
        return Dimension(path, choices)
    use_log, span = values.startswith("log:"), values.removeprefix("log:")
    low, high = (_number(end, text) for end in _ends(span, text))
    if isinstance(low, float) or isinstance(high, float):
        low, high = float(low), float(high)
    if not low < high or (use_log and low <= 0):
        raise UserError(
            "A range of --space goes up; a log range begins above 0.",
            accepted=SYNTAX,
            received=text,
        )
    return Dimension(path, low=low, high=high, use_log=use_log)


def parse_space(texts: Sequence[str], config: RunConfig) -> tuple[Dimension, ...]:
    """The space that is searched, checked with the configuration it changes.

    Args:
        texts: The parts of `--space`; the method's default space where there are none.
        config: Of every trial, but for the space.

    Raises:
        UserErrors: Everything wrong with the parts; a value no run would take.

    Example:
    >>> config = RunConfig.parse({"task": "cola", "method": "lora"})
    >>> [f"{x.name}={x.values}" for x in parse_space((), config)]
    ... # doctest: +NORMALIZE_WHITESPACE
    ['optim.learning_rate=log:0.0001..0.01', 'optim.warmup=0|0.06|0.1',
     'method.rank=4|8|16|32']
    """
    space: list[Dimension] = []
    problems: list[UserError] = []
    for text in texts or default_space(config):
        try:
            dimension = parse_dimension(text)
        except UserError as problem:
            problems.append(problem)
            continue
        if dimension.name in {other.name for other in space}:
            problems.append(UserError("--space names a flag twice.", received=text))
        found = list(_unsuitable(dimension, config))
        problems += found
        space.append(dimension)
    if problems:
        raise UserErrors(problems)
    return tuple(space)


def default_space(config: RunConfig) -> list[str]:
    """Learning rate, warmup and the method's size, where they were not given.

    The learning rate goes from a tenth to ten times the method's own. Methods that
    train the model's own weights get 1e-5 to 5e-3: those that suit a BERT and a T5 lie
    apart.
    """
    method, given = config.method.name, config.given()
    rate = own_learning_rate(method)
    low = rate / _RATE_FACTOR if rate else DEFAULT_LEARNING_RATE / 5
    high = rate * _RATE_FACTOR if rate else DEFAULT_LEARNING_RATE * 100
    parts = {
        ("optim", "learning_rate"): f"log:{low:g}..{high:g}",
        ("optim", "warmup"): _WARMUP,
    }
    for field in method_fields(method):
        if field.name in _DEFAULT_OPTIONS:
            parts["method", field.name] = _DEFAULT_OPTIONS[field.name]
    return [
        f"{group}.{field}={values}"
        for (group, field), values in parts.items()
        if field not in given.get(group, {})
    ]


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted name as nested values.

    >>> nested({"optim.warmup": 0.1, "optim.epochs": 2})
    {'optim': {'warmup': 0.1, 'epochs': 2}}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        group, _, field = name.partition(".")
        found.setdefault(group, {})[field] = value
    return found


def _unsuitable(dimension: Dimension, config: RunConfig) -> Iterator[UserError]:
    """What is wrong with the flag, or with its choices and the ends of its range."""
    names = {field.name for field in method_fields(config.method.name)}
    known = {("method", name) for name in names}
    known |= {path for path in flags().values() if path[0] == "optim"}
    if dimension.path not in known:
        shown = [".".join(path).replace("_", "-") for path in known]
        yield unknown_name("flag of --space", dimension.name.replace("_", "-"), shown)
        return
    for value in dimension.choices or (dimension.low, dimension.high):
        values = merge(config.given(), nested({dimension.name: value}))
        try:
            method = RunConfig.parse(values).method
            make_method(method.name, method.options)
        except UserError as problem:
            yield UserError(f"--space {dimension.name}={value}: {problem}")


def _ends(span: str, text: str) -> tuple[str, str]:
    low, dots, high = span.partition("..")
    if not dots:
        raise _malformed(text)
    return low, high


def _number(end: str, text: str) -> Number:
    try:
        return int(end) if end.strip().lstrip("-").isdecimal() else float(end)
    except ValueError:
        raise _malformed(text) from None


def _malformed(text: str) -> UserError:
    return UserError(
        "A part of --space is a flag and its values.", accepted=SYNTAX, received=text
    )
