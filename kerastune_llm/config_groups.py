"""The groups of fields of RunConfig; their descriptions are the `--help` texts."""

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from kerastune_llm.config_values import Columns, Names, Place, Rates, TaskName
from kerastune_llm.registry import (
    AUGMENTATIONS,
    METHODS,
    METRICS,
    OPTIMIZERS,
    TASKS,
    Registry,
)


class Group(BaseModel):
    """Frozen; a field that does not exist is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def _registered(registry: Registry) -> Any:
    def check(name: str) -> str:
        registry.get(name)
        return name

    return field_validator("name")(staticmethod(check))


class TaskConfig(Group):
    """The task and what is changed about it."""

    name: TaskName = Field(
        description="task to train; `kerastune list tasks` names them"
    )
    kind: Literal["seq2seq", "classification", "regression", "multilabel"] | None = (
        Field(
            None,
            description="for custom: answers with text, with a label, with a number, "
            "or with several labels",
        )
    )
    form: Literal["auto", "head", "text"] = Field(
        "auto",
        description="a labelled task with a classification head, or text to text; "
        "auto follows the model",
    )
    input_template: str | None = Field(
        None, description='text given to the model: "question: {q} context: {c}"'
    )
    pair_template: str | None = Field(
        None, description='second text of a pair, for an encoder: "{sentence2}"'
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
    hub: str | None = Field(None, description="dataset id on the hub")
    hub_config: str | None = Field(None, description="configuration of that dataset")
    hub_splits: Columns | None = Field(
        None, description="its split names: validation=test"
    )
    metrics: Names | None = Field(
        None, description="metrics; `kerastune list metrics` names them"
    )

    @field_validator("metrics")
    @classmethod
    def _check_metrics(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            METRICS.get(name)
        return names


class MethodConfig(Group):
    """The method's name; its own hyper-parameters are further fields."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str = Field("full", description="`kerastune list methods` names them")

    _check_name = _registered(METHODS)

    @property
    def options(self) -> dict[str, Any]:
        """The hyper-parameters given for the method."""
        return dict(self.model_extra or {})


class MixtureConfig(Group):
    """The tasks of a mixture and how they are weighed."""

    tasks: Names = Field((), description="tasks to mix: squad,cola,stsb")
    rates: Rates = Field(
        "proportional",
        description="proportional, equal, temperature, or weights: squad=2,cola=1",
    )
    cap: PositiveInt = Field(
        2**19, description="rows of a task that count at most, for proportional"
    )
    temperature: PositiveFloat = Field(
        2.0, description="1 is proportional; the higher, the closer to equal"
    )
    train: Columns = Field({}, description="training files: squad=a.json,cola=b.tsv")
    validation: Columns = Field({}, description="validation files, the same way")

    @field_validator("tasks")
    @classmethod
    def _check_tasks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            TASKS.get(name)
        return names


class DataConfig(Group):
    """Where rows come from and how they become batches."""

    source: Literal["auto", "sample", "hub", "files"] = Field(
        "auto",
        description="auto: files where given, the generated sample for a bundled "
        "model, else the hub",
    )
    train: Place | None = Field(
        None, description="training file, here or at gs://BUCKET/FILE or the like"
    )
    validation: Place | None = Field(None, description="validation file, the same way")
    validation_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="training rows held out where there is no validation file",
    )
    max_train_samples: PositiveInt | None = Field(
        None, description="rows at most; labels keep their shares"
    )
    max_validation_samples: PositiveInt | None = Field(None, description="rows at most")
    max_input_tokens: PositiveInt | None = Field(
        None, description="inputs are cut at this many tokens (default: the task's)"
    )
    max_target_tokens: PositiveInt | None = Field(
        None, description="targets are cut at this many tokens (default: the task's)"
    )
    long_context: Literal["truncate", "window"] = Field(
        "truncate",
        description="for questions on a context longer than the input: cut its end "
        "off, or cut it into windows whose answers are merged by their scores",
    )
    stride: NonNegativeInt = Field(
        128, description="tokens at most that a window shares with the one before it"
    )
    batching: Literal["bucket", "pad", "fixed", "pack"] = Field(
        "bucket",
        description="bucket: rows of like length together; pad: random rows padded "
        "to the longest; fixed: all to the maximum; pack: several in one row, masked "
        "from each other, for T5",
    )
    num_proc: PositiveInt = Field(1, description="tokenising processes")
    augment: Names = Field(
        (),
        description="training rows made from the others: shuffle,entity; "
        "`kerastune list augmentations` names the kinds",
    )

    streaming: bool = Field(
        False,
        description="read the training file while training, in constant memory: jsonl, "
        "csv, tsv, parquet; no rows are held out of it",
    )
    shuffle_buffer: PositiveInt = Field(
        10_000, description="streamed rows that are shuffled among each other at a time"
    )

    @field_validator("augment")
    @classmethod
    def _check_kinds(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            AUGMENTATIONS.get(name)
        return tuple(dict.fromkeys(names))


class OptimConfig(Group):
    """The optimizer and how long it runs."""

    name: str = Field("adamw", description="`kerastune list optimizers` names them")
    learning_rate: PositiveFloat | None = Field(
        None, description="peak learning rate (default: the method's own, else 5e-5)"
    )
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
    batch_size: PositiveInt | Literal["auto"] = Field(
        8,
        description="examples in one optimizer update, packed ones too; auto: as many "
        "as without it, in as few parts as fit into memory",
    )
    accumulate_steps: PositiveInt | Literal["auto"] = Field(
        1,
        description="parts a batch is computed in, one after the other, for less "
        "memory; the result is the same; auto: as few as fit",
    )

    _check_name = _registered(OPTIMIZERS)

    @field_validator("accumulate_steps")
    @classmethod
    def _check_parts(
        cls, parts: int | Literal["auto"], info: ValidationInfo
    ) -> int | Literal["auto"]:
        rows = info.data.get("batch_size", parts)
        if "auto" not in (parts, rows) and parts > rows:
            raise ValueError(f"must be at most --optim.batch-size ({rows})")
        return parts


class EvaluationConfig(Group):
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
    confidence: bool = Field(
        False, description="95 % intervals of the metrics, by resampling rows"
    )
    max_new_tokens: PositiveInt | None = Field(
        None, description="longest answer in tokens (default: the target length)"
    )
