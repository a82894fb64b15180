"""The failures that a configuration would meet in silence, found before it runs."""

from collections.abc import Iterator

from kerastune_llm.commands.finding import Finding
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError


def check_config(config: RunConfig) -> Iterator[Finding]:
    """Findings about the model, the tokenizer and the settings of `config`.

    Only the configuration and tokenizer files are read, no weights.
    """
    from kerastune_llm.models.loading import load_config, load_tokenizer

    try:
        model_config = load_config(config.model)
        tokenizer = load_tokenizer(config.model)
    except UserError as error:
        yield Finding("problem", str(error))
        return
    yield Finding("ok", f"{config.model} is a {model_config.model_type} model")
    yield from _precision(config, model_config)
    yield from _lengths(config, model_config)
    yield from _vocabulary(model_config, tokenizer)
    yield from _head(config, model_config)
    yield from _weights(config)
    yield from _speed(config)


def _precision(config: RunConfig, model_config: object) -> Iterator[Finding]:
    is_t5 = "t5" in model_config.model_type
    if is_t5 and config.runtime.precision == "mixed_float16":
        yield Finding(
            "problem",
            "T5 under mixed_float16 is NaN from the first step: its mask of -1e9 "
            "overflows",
            "--runtime.precision mixed_bfloat16",
        )


def _lengths(config: RunConfig, model_config: object) -> Iterator[Finding]:
    positions = getattr(model_config, "max_position_embeddings", None)
    wanted = config.data.max_input_tokens
    if positions and wanted and wanted > positions:
        yield Finding(
            "problem",
            f"inputs of {wanted} tokens, but the model has {positions} positions: on a "
            "GPU the positions beyond are zeros, without an error",
            f"--data.max-input-tokens {positions}",
        )


def _vocabulary(model_config: object, tokenizer: object) -> Iterator[Finding]:
    vocabulary = getattr(model_config, "vocab_size", None)
    if vocabulary and len(tokenizer) > vocabulary:
        yield Finding(
            "problem",
            f"the tokenizer has {len(tokenizer)} ids, the embedding {vocabulary} rows: "
            "on a GPU the ids beyond become zeros, without an error",
            "the tokenizer that belongs to this model",
        )
    if tokenizer.pad_token_id is None:
        yield Finding("problem", "the tokenizer has no padding token", "set pad_token")
    elif model_config.pad_token_id not in (None, tokenizer.pad_token_id):
        yield Finding(
            "warning",
            f"the tokenizer pads with id {tokenizer.pad_token_id}, the model's config "
            f"says {model_config.pad_token_id}",
            "make pad_token_id in config.json the tokenizer's",
        )


def _head(config: RunConfig, model_config: object) -> Iterator[Finding]:
    tied = model_config.is_encoder_decoder and model_config.tie_word_embeddings
    if config.method.name == "head" and tied:
        yield Finding(
            "warning",
            "the LM head is tied to the input embeddings: training it moves both",
            "an untied model such as google/flan-t5-small, or --method last_n",
        )


def _weights(config: RunConfig) -> Iterator[Finding]:
    from kerastune_llm.models.sources import resolve_source

    if config.from_scratch:
        yield Finding("note", "random initial weights (--from-scratch)")
        return
    folder = resolve_source(config.model)
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.h5")):
        pickled = any(folder.glob("*.bin"))
        yield Finding(
            "problem",
            "only .bin weights, which are not opened: unpickling runs code"
            if pickled
            else "no weights in the model folder",
            "save it as safetensors, in an environment with PyTorch"
            if pickled
            else "--from-scratch, or another folder",
        )


def _speed(config: RunConfig) -> Iterator[Finding]:
    from kerastune_llm.backend import tf

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
