"""Prompt tuning: trained vectors before the embedded tokens of the input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from kerastune_llm.errors import UserError
from kerastune_llm.methods.forms import Form
from kerastune_llm.methods.method import check_fields
from kerastune_llm.methods.targets import head_modules, saved_names
from kerastune_llm.registry import METHODS

if TYPE_CHECKING:
    import numpy as np

    from kerastune_llm.backend import keras, transformers
    from kerastune_llm.models.delta_layers import DeltaLayer
    from kerastune_llm.models.layout import Layout

_PEFT_KEY, _PROMPT, _BASE = "prompt_embeddings", ".prompt", "base_model."
# Those whose stacks take embedded inputs, and whose positions a prompt can lengthen.
_MODEL_TYPES = (
    *("t5", "mt5", "bart", "mbart", "pegasus", "marian", "blenderbot"),
    *("blenderbot-small", "bert", "roberta", "xlm-roberta", "camembert", "electra"),
    *("distilbert", "mpnet", "albert", "deberta", "deberta-v2"),
)


def _write(values: "Mapping[str, np.ndarray]", sites: Sequence[str]) -> dict:
    return {
        _PEFT_KEY if name.endswith(_PROMPT) else _BASE + name: value
        for name, value in values.items()
    }


def _read(
    tensors: "Mapping[str, np.ndarray]", sites: Sequence[str], settings: Mapping
) -> dict:
    """Our values; PEFT keeps as many vectors again for a decoder, and uses none."""
    values = {key.removeprefix(_BASE): value for key, value in tensors.items()}
    if _PEFT_KEY in values:
        prompt = values.pop(_PEFT_KEY)
        values[sites[0] + _PROMPT] = prompt[: settings.get("num_virtual_tokens")]
    return values


def _model_values(
    method: Any, layout: "Layout", model_config: "transformers.PretrainedConfig"
) -> Mapping[str, object]:
    """What PEFT's configuration of a prompt says about the model."""
    width = getattr(model_config, "embedding_size", None) or model_config.hidden_size
    return {
        "num_attention_heads": model_config.num_attention_heads,
        "num_layers": len(layout.blocks[layout.head_stack]),
        "num_transformer_submodules": 1,
        # The values are in the file: PEFT has nothing to draw, or to tokenise.
        "prompt_tuning_init": "RANDOM",
        "prompt_tuning_init_text": method.initial_text or None,
        "token_dim": width,
    }


@METHODS.register("prompt")
@dataclass(frozen=True)
class Prompt:
    """Train vectors that stand before the embedded tokens of the encoder's input.

    A classifier that reads the first position reads the first of them, as in PEFT; its
    head trains whole. Names and files are PEFT's (Lester et al. 2021,
    https://arxiv.org/abs/2104.08691).

    Args:
        num_virtual_tokens: Length of the prompt, at least 1. Where the number of
            positions is limited, inputs have to be shorter by that.
        initial_text: A text whose embedded tokens the prompt starts from, repeated or
            cut to the length; without it, it starts at random.
        initial_tokens: Token ids to start from, comma-separated, in place of a text.
        modules_to_save: Ends of names of modules that train whole and are saved with
            the prompt, comma-separated.
    """

    num_virtual_tokens: int = 20
    initial_text: str = ""
    initial_tokens: tuple[int, ...] = ()
    modules_to_save: tuple[str, ...] = ()

    default_learning_rate: ClassVar[float] = 1e-1
    form: ClassVar[Form] = Form(
        "PROMPT_TUNING",
        "prompt",
        {"num_virtual_tokens": "num_virtual_tokens"},
        model_values=_model_values,
        pack=_write,
        unpack=_read,
    )

    def __post_init__(self) -> None:
        at_least_one = self.num_virtual_tokens >= 1
        accepted, mend = "a whole number from 1", "--method.num-virtual-tokens 20"
        check_fields(self, [(at_least_one, "num_virtual_tokens", accepted, mend)])

    def tokenised(self, tokenizer: "transformers.PreTrainedTokenizerBase") -> "Prompt":
        """The same with the text's token ids, end mark included as in PEFT.

        Raises:
            UserError: Both a text and tokens are given.
        """
        if not self.initial_text:
            return self
        if self.initial_tokens:
            raise UserError(
                "The prompt starts from a text or from tokens.",
                accepted="initial_text or initial_tokens",
                received=f"{self.initial_text!r} and {list(self.initial_tokens)}",
            )
        ids = tokenizer(self.initial_text)["input_ids"]
        return replace(self, initial_tokens=tuple(ids))

    def sites(self, layout: "Layout") -> tuple[str, ...]:
        """Names of the encoder, or the body, and of the decoder that reads it."""
        if layout.model_type not in _MODEL_TYPES:
            raise UserError(
                f"A prompt has no defined place in the input of {layout.model_type}.",
                accepted=", ".join(_MODEL_TYPES),
                received=layout.model_type,
                mend="--method lora with --method.target-modules",
            )
        first = layout.blocks["encoder"][0].name.split(".")
        if "decoder" not in layout.blocks:
            return (first[0],)
        base = "".join(f"{level}." for level in first[: first.index("encoder")])
        return (f"{base}encoder", f"{base}decoder")

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """The model's own parameters that train: saved modules and the head."""
        return saved_names((*self.modules_to_save, *head_modules(layout)), layout)

    def wrap(
        self, layers: "Mapping[str, keras.layers.Layer]", layout: "Layout"
    ) -> "dict[str, DeltaLayer]":
        """The layers that take the places of the encoder and the decoder."""
        from kerastune_llm.models.prompt_layers import PromptedStack, PromptReader

        if self.initial_text and not self.initial_tokens:
            raise UserError(
                "The prompt starts from a text, which takes a tokenizer.",
                accepted="the tokenizer of the model",
                mend="apply_method(model, method, tokenizer=tokenizer)",
            )
        options = {"method": self, "num_virtual_tokens": self.num_virtual_tokens}
        (site, encoder), *readers = layers.items()
        prompted = PromptedStack(encoder, initial_tokens=self.initial_tokens, **options)
        return {site: prompted} | {
            name: PromptReader(layer, **options) for name, layer in readers
        }
