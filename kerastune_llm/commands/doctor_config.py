"""The failures that a configuration would meet in silence, found before it runs."""

from collections.abc import Iterator

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from kerastune_llm.backend import tf
from kerastune_llm.commands.finding import Finding
from kerastune_llm.commands.job import packing_misfits, virtual_tokens
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import JobFailed, UserError
from kerastune_llm.methods.method import StagedMethod, make_method
from kerastune_llm.models.compatibility import misfits
from kerastune_llm.models.loading import load_config, load_tokenizer
from kerastune_llm.models.sources import resolve_source
from kerastune_llm.models.stored_tensors import find_tensors
from kerastune_llm.remote import Remote, is_remote
from kerastune_llm.remote_errors import without_secrets


def check_config(config: RunConfig) -> Iterator[Finding]:
    """Findings about the model, the tokenizer and the settings of `config`.

    Only the configuration and tokenizer files are read, no weights.
    """
    yield from _places(config)
    try:
        model_config = load_config(config.model)
        tokenizer = load_tokenizer(config.model)
    except UserError as error:
        yield Finding("problem", str(error))
        return
    yield Finding("ok", f"{config.model} is a {model_config.model_type} model")
    yield from _precision(config, model_config)
    yield from _fit(config, model_config, tokenizer)
    yield from _head(config, model_config)
    yield from _weights(config)
    yield from _speed(config)


def _places(config: RunConfig) -> Iterator[Finding]:
    """What is at addresses can be reached; what is here, a run finds out at once."""
    data = config.data
    checks = [(config.output, Remote.check_writable, "can be written")]
    checks += [(x, Remote.info, "can be read") for x in (data.train, data.validation)]
    for place, check, what in checks:
        if place is None or not is_remote(place):
            continue
        try:
            check(Remote(place))
        except (UserError, JobFailed) as error:
            yield Finding("problem", str(error))
        else:
            yield Finding("ok", f"{without_secrets(place)} {what}")


def _precision(config: RunConfig, model_config: PretrainedConfig) -> Iterator[Finding]:
    is_t5 = "t5" in model_config.model_type
    if is_t5 and config.runtime.precision == "mixed_float16":
        yield Finding(
            "problem",
            "T5 under mixed_float16 is NaN from the first step: its mask of -1e9 "
            "overflows",
            "--runtime.precision mixed_bfloat16",
        )
    method = make_method(config.method.name, config.method.options)
    stays_frozen = config.method.name != "full" and not isinstance(method, StagedMethod)
    if config.runtime.precision == "bfloat16" and not stays_frozen:
        yield Finding(
            "problem",
            "bfloat16 keeps frozen weights in 16 bits, and of this method none stay "
            "frozen",
            "--runtime.precision mixed_bfloat16",
        )


def _fit(
    config: RunConfig,
    model_config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
) -> Iterator[Finding]:
    found = misfits(
        model_config,
        tokenizer,
        max_input_tokens=config.data.max_input_tokens or 0,
        max_target_tokens=config.data.max_target_tokens or 0,
        reserved=virtual_tokens(config),
    )
    for error in (*found, *packing_misfits(config, model_config)):
        yield Finding("problem", str(error))
    padding = model_config.pad_token_id
    if padding not in (None, tokenizer.pad_token_id):
        yield Finding(
            "warning",
            f"the tokenizer pads with id {tokenizer.pad_token_id}, the model's config "
            f"says {padding}",
            "make pad_token_id in config.json the tokenizer's",
        )


def _head(config: RunConfig, model_config: PretrainedConfig) -> Iterator[Finding]:
    tied = model_config.is_encoder_decoder and model_config.tie_word_embeddings
    if config.method.name == "head" and tied:
        yield Finding(
            "warning",
            "the LM head is tied to the input embeddings: training it moves both",
            "an untied model such as google/flan-t5-small, or --method last_n",
        )


def _weights(config: RunConfig) -> Iterator[Finding]:
    if config.from_scratch:
        yield Finding("note", "random initial weights (--from-scratch)")
        return
    try:
        tensors = find_tensors(resolve_source(config.model))
    except UserError as error:
        yield Finding("problem", str(error))
    else:
        yield Finding("ok", f"{len(tensors)} weights in {config.model}")


def _speed(config: RunConfig) -> Iterator[Finding]:
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if config.data.batching == "fixed":
        yield Finding(
            "warning",
            "every row is padded to the maximum length: most of the work is padding",
            "--data.batching bucket",
        )
    if config.runtime.jit and not has_gpu:
        yield Finding(
            "warning",
            "the whole training step under XLA is slower than graph mode on CPU",
            "--no-runtime.jit",
        )
