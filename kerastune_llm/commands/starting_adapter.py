"""`--adapter DIR`: training that goes on from an adapter, made here or by PEFT."""

import dataclasses
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from kerastune_llm.backend import keras
from kerastune_llm.config import RunConfig, flag_of, merge
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.forms import form_of
from kerastune_llm.methods.method import (
    DeltaMethod,
    Method,
    make_method,
    method_fields,
)
from kerastune_llm.methods.peft_format import load_adapter
from kerastune_llm.methods.peft_format.config import read_config
from kerastune_llm.methods.peft_format.loading import PEFT_HEADS
from kerastune_llm.models.surgery import ParameterTable, count_parameters


def with_method_of_adapter(config: RunConfig) -> RunConfig:
    """The configuration with the method of its `--adapter`, where it has one.

    Only the adapter's configuration is read.

    Raises:
        UserError: No adapter there, one that is not supported, flags that contradict
            it, or a base model without weights.
    """
    if config.adapter is None:
        return config
    if config.from_scratch:
        raise UserError(
            "An adapter is a change of trained weights, and --from-scratch has none.",
            received=f"--from-scratch --adapter {config.adapter}",
            mend="leave --from-scratch out",
        )
    adapter = read_config(config.adapter.expanduser())
    method = dataclasses.replace(
        adapter.method,
        # PEFT names these for every classifier; a head trains whole in any case.
        modules_to_save=tuple(
            name for name in adapter.modules_to_save if name not in PEFT_HEADS
        ),
    )
    if "method" in config.model_fields_set:
        _check_agreement(config, method)
    values = {"name": _name(method), **dataclasses.asdict(method)}
    return RunConfig.parse(merge(config.given(exclude={"method"}), {"method": values}))


def put_method(
    model: keras.Model,
    method: Method,
    adapter: Path | None,
    tokenizer: PreTrainedTokenizerBase,
) -> ParameterTable:
    """Apply a method to a model, or put the adapter that goes on training onto it.

    The tokenizer is the model's, for a method that starts from a text.

    Returns:
        Total and trainable parameters by part.

    Raises:
        UserError: The method or the adapter does not suit this model.
    """
    if adapter is None:
        return apply_method(model, method, tokenizer=tokenizer)
    load_adapter(model, adapter)
    return count_parameters(model)


def _check_agreement(config: RunConfig, method: DeltaMethod) -> None:
    """Refuse a method, or an option of it, that is not the adapter's."""
    given, name = config.method, _name(method)
    asked = make_method(given.name, given.options)
    if _name(asked) != name:
        raise _contradiction(config, f"--method {given.name}", f"--method {name}")
    defaults = {field.name: field.default for field in method_fields(name)}
    for field in method_fields(given.name):
        # What `dora` says besides `lora` is a default of its own.
        is_said = field.name in given.options or field.default != defaults[field.name]
        ours, theirs = getattr(asked, field.name), getattr(method, field.name)
        if is_said and _unordered(ours) != _unordered(theirs):
            flag = flag_of("method", field.name)
            raise _contradiction(config, f"{flag} {ours}", f"{flag} {theirs}")


def _name(method: Method) -> str:
    """The registered name under which a method's adapters are read again."""
    return form_of(type(method)).method


def _unordered(value: object) -> object:
    return frozenset(value) if isinstance(value, tuple) else value


def _contradiction(config: RunConfig, asked: str, own: str) -> UserError:
    return UserError(
        "The adapter brings its own method, and another is asked for.",
        accepted=f"{own}, as in {config.adapter}",
        received=asked,
        mend="leave --method and its options out, or leave --adapter out",
    )
