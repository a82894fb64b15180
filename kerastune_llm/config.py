"""RunConfig: everything a run is told, frozen and typed.

A field's dotted path is its flag (`optim.batch_size` is `--optim.batch-size`) and its
place in a run's `config.json`, which is a valid `--config` for the next run. Only the
command files see it; below them there are keyword arguments.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from kerastune_llm.errors import UserError, UserErrors, nearest
from kerastune_llm.registry import METHODS, METRICS, OPTIMIZERS, TASKS, Registry


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _split_pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if any(not sign or not name.strip() or not to.strip() for name, sign, to in pairs):
        raise ValueError("must be pairs such as question=q,context=c")
    return {name.strip(): to.strip() for name, _, to in pairs}


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]
Columns = Annotated[dict[str, str], BeforeValidator(_split_pairs)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def _registered(registry: Registry) -> Any:
    def check(name: str) -> str:
        registry.get(name)
        return name

    return field_validator("name")(staticmethod(check))


class TaskConfig(_Group):
    """The task and what is changed about it."""

    name: str = Field(description="task to train; `kerastune list tasks` names them")
    kind: Literal["seq2seq", "classification"] | None = Field(
        None, description="for custom: answers with text, or with a label"
    )
    form: Literal["auto", "head", "text"] = Field(
        "auto",
        description="a labelled task with a classification head, or text to text; "
        "auto follows the model",
    )
    input_template: str | None = Field(
        None, description='text given to the model: "question: {q} context: {c}"'
    )
    target_template: str | None = Field(
        None, description='text to be generated, for seq2seq: "{answer}"'
    )
    label_column: str | None = Field(None, description="column holding the label")
    labels: Names | None = Field(
        None, description="label names in index order; discovered when absent"
    )
    references_column: str | None = Field(
        None, description="column with the list of accepted answers"
    )
    columns: Columns | None = Field(
        None, description="renames, template's name = column: question=q,context=c"
    )
    metrics: Names | None = Field(
        None, description="metrics; `kerastune list metrics` names them"
    )

    _check_name = _registered(TASKS)

    @field_validator("metrics")
    @classmethod
    def _check_metrics(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            METRICS.get(name)
        return names


class MethodConfig(_Group):
    """The method's name; its own hyper-parameters are further fields."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str = Field("full", description="`kerastune list methods` names them")

    _check_name = _registered(METHODS)

    @property
    def options(self) -> dict[str, Any]:
        """The hyper-parameters given for the method."""
        return dict(self.model_extra or {})


class DataConfig(_Group):
    """Where rows come from and how they become batches."""

    source: Literal["auto", "sample", "hub", "files"] = Field(
        "auto",
        description="auto: files where given, the generated sample for a bundled "
        "model, else the hub",
    )
    train: Path | None = Field(None, description="training file")
    validation: Path | None = Field(None, description="validation file")
    validation_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="training rows held out where there is no validation file",
    )
    max_train_samples: PositiveInt | None = Field(None, description="rows at most")
    max_validation_samples: PositiveInt | None = Field(None, description="rows at most")
    max_input_tokens: PositiveInt | None = Field(
        None, description="inputs are cut at this many tokens (default: the task's)"
    )
    max_target_tokens: PositiveInt | None = Field(
        None, description="targets are cut at this many tokens (default: the task's)"
    )
    batching: Literal["bucket", "pad", "fixed"] = Field(
        "bucket",
        description="bucket: rows of like length together; pad: random rows padded "
        "to the longest; fixed: all to the maximum",
    )
    num_proc: PositiveInt = Field(1, description="tokenising processes")


class OptimConfig(_Group):
    """The optimizer and how long it runs."""

    name: str = Field("adamw", description="`kerastune list optimizers` names them")
    learning_rate: PositiveFloat = Field(5e-5, description="peak learning rate")
    schedule: Literal["linear", "cosine", "constant", "inverse_sqrt"] = Field(
        "linear", description="how the learning rate falls after the warmup"
    )
    warmup: NonNegativeFloat = Field(
        0.0, description="warmup: a fraction of all steps below 1, else steps"
    )
    weight_decay: NonNegativeFloat = Field(
        0.0, description="decoupled decay; none on biases and norms"
    )
    clip_norm: NonNegativeFloat = Field(
        1.0, description="largest global gradient norm; 0 for no clipping"
    )
    epochs: PositiveInt = Field(3, description="passes over the training rows")
    max_steps: PositiveInt | None = Field(
        None, description="optimizer updates, instead of epochs"
    )
    batch_size: PositiveInt = Field(8, description="rows in one optimizer update")

    _check_name = _registered(OPTIMIZERS)


class RuntimeConfig(_Group):
    """Devices, precision and chance."""

    strategy: Literal["auto", "one", "mirrored"] = Field(
        "auto", description="auto: all GPUs if there are several, else one device"
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="mixed_float16 is refused for T5, where it gives NaN"
    )
    jit: bool = Field(False, description="compile the training step with XLA")
    seed: NonNegativeInt = Field(42, description="initial weights, dropout, data order")


class EvaluationConfig(_Group):
    """When and how the validation rows are scored."""

    every: Literal["epoch"] | PositiveInt = Field(
        "epoch", description="evaluate every epoch, or every N steps"
    )
    metric: str | None = Field(
        None, description="picks the best checkpoint (default: the task's own)"
    )
    patience: PositiveInt | None = Field(
        None, description="stop after this many evaluations without a better one"
    )
    batch_size: PositiveInt = Field(16, description="rows scored at a time")
    num_beams: PositiveInt = Field(1, description="1 is greedy")
    max_new_tokens: PositiveInt | None = Field(
        None, description="longest answer in tokens (default: the target length)"
    )


class RunConfig(_Group):
    """One run. Build it with `RunConfig.parse`, which reports every problem at once."""

    task: Annotated[TaskConfig, BeforeValidator(_named)]
    model: str = Field(
        "starter", description="hub id, folder, or a bundled one: starter, minilm"
    )
    from_scratch: bool = Field(
        False, description="random initial weights; needs no checkpoint"
    )
    method: Annotated[MethodConfig, BeforeValidator(_named)] = MethodConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    output: Path | None = Field(
        None, description="run directory (default: a new one under runs/)"
    )

    @classmethod
    def parse(
        cls, values: Mapping[str, Any], other_problems: tuple[Exception, ...] = ()
    ) -> "RunConfig":
        """A checked RunConfig from nested plain values.

        Raises:
            UserErrors: Everything wrong with `values`, after `other_problems`.
        """
        problems = list(other_problems)
        try:
            config = cls.model_validate(dict(values))
        except ValidationError as error:
            problems += [_as_user_error(detail) for detail in error.errors()]
        if problems:
            raise UserErrors(problems)
        return config

    def updated(self, changes: Mapping[str, Any]) -> "RunConfig":
        """A copy with the nested `changes` merged in, checked again."""
        return RunConfig.parse(merge(self.to_values(), changes))

    def to_values(self) -> dict[str, Any]:
        """Nested plain values, as `config.json` holds them."""
        return self.model_dump(mode="json", exclude_none=True)


def merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with `changes` laid over them.

    >>> merge({"optim": {"epochs": 3, "name": "adamw"}}, {"optim": {"epochs": 5}})
    {'optim': {'epochs': 5, 'name': 'adamw'}}
    """
    merged = dict(values)
    for name, change in changes.items():
        if name in ("task", "method"):
            change, merged[name] = _named(change), _named(merged.get(name, {}))
            if name == "method" and change.get("name", "") != merged[name].get("name"):
                merged[name] = {} if "name" in change else merged[name]
        present = merged.get(name)
        if isinstance(change, Mapping) and isinstance(present, Mapping):
            change = merge(present, change)
        merged[name] = change
    return merged


def read_config_file(path: Path) -> dict[str, Any]:
    """The nested values of a JSON or YAML file.

    Raises:
        UserError: The file is missing, unreadable or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"The configuration file cannot be read: {error}", received=str(path)
        ) from error
    if not isinstance(values, dict):
        raise UserError(
            "The configuration file must hold a mapping.", received=str(path)
        )
    return values


def flag(path: tuple[str | int, ...]) -> str:
    """The flag of a dotted path.

    >>> flag(("optim", "batch_size"))
    '--optim.batch-size'
    """
    return "--" + ".".join(str(part) for part in path).replace("_", "-")


def flag_of(group: str, field: str) -> str:
    """The flag of a group's field; a method's name is `--method`.

    >>> flag_of("method", "name"), flag_of("optim", "name")
    ('--method', '--optim.name')
    """
    return flag((group,) if (group, field) == ("method", "name") else (group, field))


def flags() -> dict[str, tuple[str, ...]]:
    """Every flag of RunConfig with its path."""
    found = {}
    for name, info in RunConfig.model_fields.items():
        group = group_of(info.annotation)
        for field in group.model_fields if group else ():
            found[flag_of(name, field)] = (name, field)
        if group is None:
            found[flag((name,))] = (name,)
    return found


def group_of(annotation: object) -> type[BaseModel] | None:
    """The group of fields an annotation stands for, `None` for a single value."""
    is_group = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_group else None


def _as_user_error(detail: Mapping[str, Any]) -> UserError:
    """One of pydantic's errors in the words of the command line."""
    path = tuple(part for part in detail["loc"] if isinstance(part, str))
    if detail["type"] == "extra_forbidden":
        return unknown_flag(flag(path))
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return UserError(f"{_shown(path)}: {cause}")
    if detail["type"] == "missing":
        return UserError(f"{_shown(path)} is required.")
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return UserError(f"{_shown(path)} {message}.", received=detail["input"])


def _shown(path: tuple[str, ...]) -> str:
    if path in (("task",), ("task", "name")):
        return "TASK"
    names = {path: name for name, path in flags().items()}
    while len(path) > 1 and path not in names:
        path = path[:-1]
    return names.get(path, flag(path))


def unknown_flag(name: str, known: tuple[str, ...] = ()) -> UserError:
    """The error for a flag that does not exist, with the nearest ones."""
    alike = nearest(name, {*flags(), *known} - {"--task.name"})
    return UserError(
        f"Unknown flag {name}.",
        accepted=f"did you mean {' or '.join(alike)}?" if alike else None,
        mend=None if alike else "`kerastune train --help` lists all flags",
    )
