"""Whether a model and a tokenizer fit each other and the lengths they are given.

On a CPU these mistakes end in an error of TensorFlow's deep inside the model; on a GPU
in none: a lookup beyond a table gives zeros.
"""

from collections.abc import Iterator

from kerastune_llm.backend import transformers
from kerastune_llm.errors import UserError


def position_limit(
    config: transformers.PretrainedConfig,
    tokenizer: transformers.PreTrainedTokenizerBase,
    reserved: int = 0,
) -> int | None:
    """The longest input in tokens, `None` for relative positions such as T5's.

    RoBERTa's table has two rows more than positions; its tokenizer knows. `reserved`
    positions are taken by a prefix or a prompt.
    """
    positions = getattr(config, "max_position_embeddings", None)
    if not positions or positions < 0:
        return None
    return min(positions, tokenizer.model_max_length) - reserved


def misfits(
    config: transformers.PretrainedConfig,
    tokenizer: transformers.PreTrainedTokenizerBase,
    *,
    max_input_tokens: int,
    max_target_tokens: int = 0,
    reserved: int = 0,
) -> Iterator[UserError]:
    """What does not fit, one error each.

    Args:
        config: The model's configuration.
        tokenizer: The tokenizer that makes its input.
        max_input_tokens: Longest input.
        max_target_tokens: Longest target; 0 for a model that writes none.
        reserved: Positions that a prefix or a prompt takes.
    """
    vocabulary = getattr(config, "vocab_size", None)
    if vocabulary and len(tokenizer) > vocabulary:
        yield UserError(
            "The tokenizer has more ids than the model's embedding has rows.",
            accepted=f"at most {vocabulary} ids",
            received=f"{len(tokenizer)} ids",
            mend="the tokenizer that belongs to this model",
        )
    if tokenizer.pad_token_id is None:
        yield UserError(
            "The tokenizer has no padding token.",
            mend='"pad_token" in the model folder\'s tokenizer_config.json',
        )
    limit = position_limit(config, tokenizer, reserved)
    if limit is not None and limit < 1:
        yield UserError(
            "The prefix or prompt takes all positions of the model.",
            accepted=f"at most {limit + reserved - 1} virtual tokens",
            received=f"{reserved} virtual tokens",
            mend="a smaller --method.num-virtual-tokens",
        )
        return
    lengths = {"input": max_input_tokens, "target": max_target_tokens}
    for name, length in lengths.items():
        if limit is not None and length > limit:
            yield UserError(
                f"The model has no positions for {name}s this long.",
                accepted=f"at most {limit} tokens",
                received=f"{length} tokens",
                mend=f"--data.max-{name}-tokens {limit}",
            )
