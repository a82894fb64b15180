"""What a method is, and how one is made from the strings of a configuration.

A method is a frozen dataclass whose fields are its hyper-parameters. It registers
itself with `@METHODS.register("name")`, checks its own fields in `__post_init__`, and
documents each under `Args:` in its docstring, which is where `--help` finds the text.

There are two kinds. A *freezing* method only chooses among the parameters the model
has: it answers `trainable_names`. A *delta* method also adds small layers; it answers
`trainable_names` for the model's own parameters, and in addition which modules it
wants (`sites`) and how it wraps them (`wrap`), and has a field `modules_to_save`. The
layer it wraps with says how it merges back (`DeltaLayer.merged`), and `forms.Form` how
it is written down. What all share is done once: `apply_method`, `merge_delta`,
`save_adapter`.

Modules that define methods import no TensorFlow: listing and checking them is fast.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import (
    TYPE_CHECKING,
    NamedTuple,
    Protocol,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from pydantic import TypeAdapter, ValidationError

from kerastune_llm.errors import UserError, UserErrors, nearest
from kerastune_llm.registry import METHODS

if TYPE_CHECKING:
    from kerastune_llm.backend import keras, transformers
    from kerastune_llm.models.delta_layers import DeltaLayer
    from kerastune_llm.models.layout import Layout


# For training a model's own weights: the Trainer's, and what BERT is tuned with.
DEFAULT_LEARNING_RATE = 5e-5


class Method(Protocol):
    """The contract of every registered method.

    A class may also have `default_learning_rate`, a `ClassVar[float]` for AdamW, where
    5e-5 would not suit it.
    """

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """Names of the model's own parameters that train; changes nothing.

        Args:
            layout: Where everything is in the model.

        Raises:
            UserError: The hyper-parameters do not suit this model.
        """
        ...


@runtime_checkable
class TokenizedMethod(Method, Protocol):
    """The contract of a method with a text among its hyper-parameters."""

    def tokenised(self, tokenizer: "transformers.PreTrainedTokenizerBase") -> Method:
        """The same method with the text's token ids."""
        ...


@runtime_checkable
class StagedMethod(Method, Protocol):
    """The contract of a method that trains more and more as the run goes on."""

    def stages(self, layout: "Layout") -> tuple[frozenset[str], ...]:
        """Names that train, by stage; the first are `trainable_names`."""
        ...

    def callbacks(
        self, model: "keras.Model", total_steps: int
    ) -> "list[keras.callbacks.Callback]":
        """What `fit` needs to go from stage to stage.

        Args:
            model: The model the method was applied to.
            total_steps: Optimizer updates of the whole run.
        """
        ...


@runtime_checkable
class DeltaMethod(Method, Protocol):
    """The contract of a method that adds layers."""

    def sites(self, layout: "Layout") -> tuple[str, ...]:
        """Module names of the dense layers it wraps; changes nothing.

        None where the model has all the method trains.

        Raises:
            UserError: A target matches nothing in this model.
        """
        ...

    def wrap(
        self, layers: Mapping[str, "keras.layers.Layer"], layout: "Layout"
    ) -> "dict[str, DeltaLayer]":
        """Layers to stand in the places of `layers`, which are left as they are.

        Args:
            layers: The layers at `sites(layout)`, by module name.
            layout: Where everything is in the model.
        """
        ...


def own_learning_rate(name: str) -> float | None:
    """The `default_learning_rate` of a registered method, where it has one.

    >>> own_learning_rate("full") is None
    True
    """
    return getattr(METHODS.get(name), "default_learning_rate", None)


class MethodField(NamedTuple):
    """A hyper-parameter; `default` is `dataclasses.MISSING` where it must be given."""

    name: str
    type: object
    default: object
    help: str


def method_fields(name: str) -> tuple[MethodField, ...]:
    """The hyper-parameters of a registered method, in order.

    >>> [(field.name, field.default) for field in method_fields("last_n")]
    [('blocks', 2)]
    """
    method = METHODS.get(name)
    types, helps = get_type_hints(method), _argument_help(method)
    return tuple(
        MethodField(
            field.name, types[field.name], _default(field), helps.get(field.name, "")
        )
        for field in dataclasses.fields(method)
    )


def make_method(name: str, options: Mapping[str, object]) -> Method:
    """A method from its registered name and options as they come from a configuration.

    Args:
        name: As registered.
        options: Hyper-parameters; a string is converted to the field's type, and
            `"a,b"` to a tuple of two.

    Raises:
        UserError: Unknown name or option, missing or unsuitable value. All problems
            are reported together.

    Example:
    >>> make_method("last_n", {"blocks": "3"})
    LastN(blocks=3)
    """
    fields = {field.name: field for field in method_fields(name)}
    problems = [
        _unknown(name, given, fields) for given in options if given not in fields
    ]
    problems += [
        _missing(name, field)
        for field in fields.values()
        if field.default is dataclasses.MISSING and field.name not in options
    ]
    values: dict[str, object] = {}
    for given in options.keys() & fields.keys():
        try:
            values[given] = _convert(fields[given], options[given])
        except UserError as problem:
            problems.append(problem)
    if problems:
        raise UserErrors(problems)
    return METHODS.get(name)(**values)


def check_fields(method: object, checks: Iterable[tuple[bool, str, str, str]]) -> None:
    """Refuse all unsuitable hyper-parameters of a method together.

    Args:
        method: The method.
        checks: For each `(holds, field, accepted, mend)`.
    """
    problems = [
        UserError(
            f"{type(method).__name__} cannot have this {field}.",
            accepted=accepted,
            received=f"{field}={getattr(method, field)}",
            mend=mend,
        )
        for holds, field, accepted, mend in checks
        if not holds
    ]
    if problems:
        raise UserErrors(problems)


def _convert(field: MethodField, value: object) -> object:
    if isinstance(value, str) and _is_list(field.type, value):
        value = tuple(part.strip() for part in value.split(",") if part.strip())
    try:
        return TypeAdapter(field.type).validate_python(value)
    except ValidationError as error:
        raise UserError(
            f"{_flag(field.name)}: {error.errors()[0]['msg'].lower()}.",
            accepted=field.help,
            received=value,
        ) from error


def _is_list(field_type: object, value: str) -> bool:
    """Whether a string stands for a tuple, its parts between commas.

    Where a field takes a tuple or one string, the string is a regular expression or a
    word with a hyphen such as `all-linear`; plain names are the tuple.

    >>> _is_list(tuple[str, ...], "a.*"), _is_list(tuple[str, ...] | str, "a.*")
    (True, False)
    >>> _is_list(tuple[str, ...] | str, "q,v"), _is_list(int, "3")
    (True, False)
    """
    if get_origin(field_type) is tuple:
        return True
    takes_tuple = any(get_origin(kind) is tuple for kind in get_args(field_type))
    takes_string = str in get_args(field_type)
    return takes_tuple and (
        not takes_string or re.fullmatch(r"[\w., ]+", value) is not None
    )


def _unknown(method: str, given: str, fields: Mapping[str, MethodField]) -> UserError:
    alike = nearest(given, fields)
    hint = f" Did you mean {' or '.join(map(_flag, alike))}?" if alike else ""
    return UserError(
        f"The method {method} has no option {given}.{hint}",
        accepted=", ".join(map(_flag, fields)) or "no options",
        received=_flag(given),
    )


def _missing(method: str, field: MethodField) -> UserError:
    return UserError(
        f"The method {method} needs {_flag(field.name)}.", accepted=field.help
    )


def _flag(field: str) -> str:
    """The command line's spelling.

    >>> _flag("target_modules")
    '--method.target-modules'
    """
    return f"--method.{field.replace('_', '-')}"


def _default(field: dataclasses.Field) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _argument_help(method: type) -> dict[str, str]:
    """The texts under `Args:` in the docstrings of a class and what it extends."""
    helps: dict[str, str] = {}
    for documented in reversed(method.__mro__[:-1]):
        helps |= _own_argument_help(documented)
    return helps


def _own_argument_help(method: type) -> dict[str, str]:
    """The texts under `Args:` in a class's own docstring, each on one line."""
    _, _, after = inspect.cleandoc(method.__doc__ or "").partition("Args:\n")
    section = re.split(r"\n(?=\S)", after)[0]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in entries}
