"""`kerastune plan`: what a run would train and how much memory it would take."""

from dataclasses import dataclass

from transformers import PretrainedConfig

from kerastune_llm.commands.console import console, show_table
from kerastune_llm.commands.job import with_bundled_settings
from kerastune_llm.commands.parameters import show_parameters
from kerastune_llm.config import RunConfig
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.method import StagedMethod, make_method
from kerastune_llm.models.activations import activation_bytes, sizes_of, uses_of
from kerastune_llm.models.flops import step_work
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.model_config import load_config
from kerastune_llm.models.surgery import (
    ParameterTable,
    shapes_only,
    trainable_names,
)
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.tasks.task import get_task
from kerastune_llm.training.memory import (
    FLOAT32,
    GIB,
    MemoryNeed,
    optimizer_bytes,
    rule_of_thumb,
)

DEVICES = (8, 16, 24, 40, 80)
# Bytes of a number in what is computed. mixed_float16 takes what mixed_bfloat16 does.
PRECISIONS = {"float32": 4, "mixed_bfloat16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Plan:
    """What a run would train and take.

    Args:
        parameters: By part, in all and trained.
        batch_size: Rows in memory at a time: of an update, or of a part of it.
        input_tokens: Length of the inputs.
        target_tokens: Length of the targets; 0 for a classifier.
        needs: Memory by precision.
        operations: Of the matrix products of one row in one update, without what
            is computed a second time for `--runtime.gradient-checkpointing`.
    """

    parameters: ParameterTable
    batch_size: int
    input_tokens: int
    target_tokens: int
    needs: dict[str, MemoryNeed]
    operations: int

    @property
    def rule_of_thumb(self) -> int:
        """Bytes that training the base model whole takes at first sight."""
        added = sum(r.total for r in self.parameters.rows if r.part == "delta")
        return rule_of_thumb(self.parameters.total - added)


def plan(config: RunConfig) -> Plan:
    """Print what a run would train and how much memory it would take, and return it.

    Only the model's config.json is read. An encoder-decoder is planned with its LM
    head, an encoder with a classifier; rows are taken to be as long as they may be.

    Raises:
        UserError: No such model, or a method that does not suit it.
    """
    config = with_bundled_settings(config)
    made = make_plan(config, load_config(config.model))
    show_parameters(made.parameters)
    _show_memory(made, config.optim.name)
    _show_devices(made)
    return made


def make_plan(config: RunConfig, model_config: PretrainedConfig) -> Plan:
    """The plan of a run with a model of this configuration.

    Raises:
        UserError: The method does not suit the model.
    """
    method = make_method(config.method.name, config.method.options)
    lengths = _lengths(config, model_config)
    sizes = sizes_of(model_config)
    with shapes_only(model_config) as model:
        parameters = apply_method(model, method, tokenizer=_one_token)
        layout, trained = layout_of(model), trainable_names(model)
        if isinstance(method, StagedMethod):
            trained = method.stages(layout)[-1]
        variables = {n: p.variable for n, p in torch_parameters(model).items()}
        shapes = [tuple(variables[name].shape) for name in trained]
        uses = uses_of(layout, trained, sizes)
        operations = step_work(model, trained=trained).flops(1, *lengths)
    optim = config.optim
    # The sum of a batch's parts, and the gradients of the part at hand.
    in_parts = optim.accumulate_steps != 1
    gradients = FLOAT32 * parameters.trainable * (2 if in_parts else 1)
    optimizer = optimizer_bytes(optim.name, shapes)
    needs = {
        precision: MemoryNeed(
            weights=_weights(parameters, precision),
            copies=_copies(parameters, precision),
            gradients=gradients,
            optimizer=optimizer,
            activations=activation_bytes(
                sizes,
                uses,
                *lengths,
                width=width,
                use_recomputation=config.runtime.gradient_checkpointing,
            ),
        )
        for precision, width in PRECISIONS.items()
    }
    parts = 1 if optim.accumulate_steps == "auto" else optim.accumulate_steps
    rows = -(-optim.batch_size // parts)
    return Plan(parameters, rows, *lengths, needs, operations)


def _one_token(text: str) -> dict[str, list[int]]:
    """A tokenizer for what only counts: no number depends on a text's tokens."""
    return {"input_ids": [0]}


def _lengths(config: RunConfig, model_config: PretrainedConfig) -> tuple[int, int]:
    """Tokens of an input and of a target: as asked for, else the task's."""
    task = get_task(config.task.name)
    inputs = config.data.max_input_tokens or task.max_input_tokens
    positions = getattr(model_config, "max_position_embeddings", None) or inputs
    targets = config.data.max_target_tokens or task.max_target_tokens
    return min(inputs, positions), targets if model_config.is_encoder_decoder else 0


def _weights(table: ParameterTable, precision: str) -> int:
    """Bytes of all weights, those included that are kept in 16 bits."""
    return FLOAT32 * table.total - (FLOAT32 - 2) * _kept_in_16_bits(table, precision)


def _copies(table: ParameterTable, precision: str) -> int:
    """Bytes of 16-bit copies of what is kept in 32 bits and multiplied with."""
    if precision == "float32":
        return 0
    return 2 * (_multiplied(table) - _kept_in_16_bits(table, precision))


def _kept_in_16_bits(table: ParameterTable, precision: str) -> int:
    """Frozen weights in bfloat16; embeddings, which T5 looks up in 32 bits, are not."""
    if precision != "bfloat16":
        return 0
    rows = (row for row in table.rows if row.part != "embeddings")
    return sum(row.total - row.trainable for row in rows)


def _multiplied(table: ParameterTable) -> int:
    """Weights that are multiplied with, and so cast: all that are not looked up."""
    looked_up = (row.total for row in table.rows if row.part == "embeddings")
    return table.total - (0 if table.head_is_tied else sum(looked_up))


def _show_memory(made: Plan, optimizer: str) -> None:
    needs = made.needs.values()
    rows = made.batch_size
    targets = f" and {made.target_tokens}" if made.target_tokens else ""
    lines = {
        "weights": [need.weights for need in needs],
        "16-bit copies": [need.copies for need in needs],
        "gradients": [need.gradients for need in needs],
        f"states of {optimizer}": [need.optimizer for need in needs],
        f"activations, about: {rows} rows of {made.input_tokens}{targets} tokens": [
            rows * need.activations for need in needs
        ],
        "in all": [need.total(rows) for need in needs],
    }
    show_table(
        "memory, GiB",
        ["", *made.needs],
        [[name, *map(_gib, found)] for name, found in lines.items()],
    )
    console.print(
        "rule of thumb for training it whole, 4 x parameters x 4 bytes: "
        f"{_gib(made.rule_of_thumb)} GiB before activations"
    )


def _show_devices(made: Plan) -> None:
    rows = [
        [f"{size} GiB"]
        + [need.largest_batch(size * GIB) or "none" for need in made.needs.values()]
        for size in DEVICES
    ]
    show_table("largest batch, a tenth left free", ["memory", *made.needs], rows)


def _gib(count: int) -> str:
    return f"{count / GIB:.2f}"
