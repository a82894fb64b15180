"""Methods that only choose which of the model's own parameters train."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from kerastune_llm.errors import UserError, nearest
from kerastune_llm.registry import METHODS

if TYPE_CHECKING:
    from kerastune_llm.models.layout import Layout

logger = logging.getLogger(__name__)


@METHODS.register("full")
@dataclass(frozen=True)
class Full:
    """Train every parameter."""

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """All parameters PyTorch would train too."""
        return layout.names - layout.fixed


@METHODS.register("head")
@dataclass(frozen=True)
class Head:
    """Train the task's head alone: the LM head, or the classifier.

    Where the LM head shares its matrix with the embeddings (t5-*, BART), that matrix
    trains, and with it what the model reads; a warning says so.
    """

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """The head's parameters; `UserError` for a model without a head."""
        return _head(layout)


@METHODS.register("last_n")
@dataclass(frozen=True)
class LastN:
    """Train the last blocks before the head, and all that follows them.

    The blocks are the decoder's where there is one. Final norm, pooler and head
    follow them.

    Args:
        blocks: How many blocks train, counted from the last, at least 1.
    """

    blocks: int = 2

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise UserError(
                "last_n trains at least one block.",
                accepted="a whole number from 1",
                received=f"blocks={self.blocks}",
                mend="--method.blocks 1, or --method head to train no block",
            )

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """Blocks, final norm, pooler and head; `UserError` for more than there are."""
        stack = layout.head_stack
        blocks = layout.blocks.get(stack, ())
        if self.blocks > len(blocks):
            raise UserError(
                f"The {stack} of this {layout.model_type} has {_count(len(blocks))} "
                "with weights of their own.",
                accepted=f"1 to {len(blocks)}",
                received=f"blocks={self.blocks}",
                mend=f"--method.blocks {len(blocks)}, or --method full",
            )
        chosen = (block.parameters for block in blocks[-self.blocks :])
        names = _head(layout).union(layout.after_blocks[stack], *chosen)
        return names - layout.fixed


@METHODS.register("freeze")
@dataclass(frozen=True)
class Freeze:
    """Train what the patterns name and freeze the rest.

    A pattern is compared with each parameter's PyTorch name and with every module the
    parameter is in, so `lm_head`, `decoder.block.3` and `*.layer_norm.weight` all
    work. `*` stands for any text, dots included (`fnmatch`).

    Args:
        train: Patterns over PyTorch-style names, comma-separated, such as
            "decoder.block.3.*,lm_head".
    """

    train: tuple[str, ...]

    def __post_init__(self) -> None:
        if isinstance(self.train, str) or not self.train:
            raise UserError(
                "freeze needs a tuple of at least one pattern.",
                accepted='such as ("decoder.block.3.*", "lm_head")',
                received=f"train={self.train!r}",
            )

    def trainable_names(self, layout: "Layout") -> frozenset[str]:
        """Parameters a pattern matches; `UserError` for one that matches nothing."""
        trainable = layout.names - layout.fixed
        matches = [_matching(pattern, trainable) for pattern in self.train]
        for pattern, found in zip(self.train, matches, strict=True):
            if not found:
                raise _nothing_matches(pattern, layout)
        return frozenset().union(*matches)


def head_names(layout: "Layout") -> frozenset[str]:
    """The head's parameters that can train.

    Raises:
        UserError: The model has no head.
    """
    names = layout.head - layout.fixed
    if not names:
        raise UserError(
            f"This {layout.model_type} has no head to train.",
            accepted="a model with an LM head or a classifier",
            mend="load the model with its task's head, or choose --method freeze",
        )
    return names


def _head(layout: "Layout") -> frozenset[str]:
    """The head, with a warning where it is the embeddings too."""
    names = head_names(layout)
    if layout.head_is_tied:
        logger.warning(
            "The LM head of this %s shares its matrix %s with the embeddings: training "
            "the head changes the embeddings of the input too.",
            layout.model_type,
            ", ".join(names & layout.part("embeddings")),
        )
    return names


def _matching(pattern: str, names: Iterable[str]) -> frozenset[str]:
    return frozenset(
        name for name in names if any(fnmatchcase(p, pattern) for p in _prefixes(name))
    )


def _prefixes(name: str) -> tuple[str, ...]:
    """A name and the modules it is in.

    >>> _prefixes("lm_head.weight")
    ('lm_head', 'lm_head.weight')
    """
    segments = name.split(".")
    return tuple(".".join(segments[: n + 1]) for n in range(len(segments)))


def _nothing_matches(pattern: str, layout: "Layout") -> UserError:
    if _matching(pattern, layout.fixed):
        return UserError(
            f"The pattern {pattern} names only weights that never train.",
            accepted="patterns over parameters that train",
            received=f"train={pattern}",
        )
    known = {prefix for name in layout.names for prefix in _prefixes(name)}
    alike = nearest(pattern.removesuffix(".*").strip("*"), sorted(known))
    hint = f" Did you mean {' or '.join(alike)}?" if alike else ""
    return UserError(
        f"The pattern {pattern} matches no parameter.{hint}",
        accepted="patterns over PyTorch-style names, such as "
        + ", ".join(sorted(prefix for prefix in known if "." not in prefix)),
        received=f"train={pattern}",
    )


def _count(blocks: int) -> str:
    return "1 block" if blocks == 1 else f"{blocks} blocks"
