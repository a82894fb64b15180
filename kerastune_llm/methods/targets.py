"""Which modules a delta method changes: PEFT's rules over PyTorch-style names."""

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Protocol

from kerastune_llm.errors import UserError, nearest

if TYPE_CHECKING:
    from kerastune_llm.models.layout import Layout

ALL_LINEAR = "all-linear"
Targets = tuple[str, ...] | str


def target_sites(
    targets: Targets, layout: "Layout", modules_to_save: Collection[str]
) -> tuple[str, ...]:
    """The dense modules that `targets` match, in model order.

    Modules that train whole (`modules_to_save`) are never changed as well.

    Args:
        targets: Suffixes, of which each has to match; or one regular expression over
            whole names; or `"all-linear"`.
        layout: Where everything is in the model.
        modules_to_save: Names of modules that train whole.

    Raises:
        UserError: A target matches no dense module.
    """
    free = free_modules(layout, modules_to_save)
    if targets == ALL_LINEAR:
        return tuple(name for name in free if f"{name}.weight" not in layout.head)
    if isinstance(targets, str):
        found = tuple(name for name in free if re.fullmatch(targets, name))
        if not found:
            raise _nothing_matches(targets, layout)
        return found
    for target in targets:
        if not any(matches_suffix(name, (target,)) for name in free):
            raise _nothing_matches(target, layout)
    return tuple(name for name in free if matches_suffix(name, targets))


def free_modules(layout: "Layout", modules_to_save: Collection[str]) -> tuple[str, ...]:
    """The dense modules, in model order, without those that train whole."""
    return tuple(name for name in layout.dense if not _inside(name, modules_to_save))


def matches_suffix(module: str, targets: Iterable[str]) -> bool:
    """Whether a target is the module's name or the end of it, at a whole segment.

    >>> matches_suffix("decoder.block.0.layer.0.SelfAttention.q", ("q", "v"))
    True
    >>> matches_suffix("encoder.layer.0.attention.self.query", ("ry",))
    False
    """
    return any(f".{module}".endswith(f".{target}") for target in targets)


def saved_names(
    modules_to_save: Collection[str], layout: "Layout", *, strict: bool = True
) -> frozenset[str]:
    """Parameters of the modules that train whole and are saved with the change.

    A name matches every module whose name ends with it, as in PEFT, so `classifier`
    means DistilBERT's `pre_classifier` too.

    Args:
        modules_to_save: Ends of module names.
        layout: Where everything is in the model.
        strict: Whether a name that matches nothing is an error.

    Raises:
        UserError: A name matches nothing, or a matrix that the input and the output
            share, which PEFT would part.
    """
    own = layout.names - layout.part("delta") - layout.fixed
    found: set[str] = set()
    for module in modules_to_save:
        names = {name for name in own if _ends_in_path(name, module)}
        if strict and not names:
            raise _nothing_matches(module, layout, field="modules_to_save")
        if layout.head_is_tied and names & layout.head:
            raise UserError(
                "The embeddings and the LM head share one matrix here, which an "
                "adapter would part.",
                accepted="modules other than the shared embeddings",
                received=f"modules_to_save={module}",
            )
        found |= names
    return frozenset(found)


def head_modules(layout: "Layout") -> tuple[str, ...]:
    """Modules of a head that gives labels: they start anew, so they train whole."""
    if not layout.is_classifier:
        return ()
    return tuple(sorted({name.split(".")[0] for name in layout.head}))


class Targeted(Protocol):
    """A method with target modules."""

    def targets(self, layout: "Layout") -> Targets:
        """Those given, or the model type's default."""
        ...

    def sites(self, layout: "Layout") -> tuple[str, ...]:
        """Module names of the layers they match."""
        ...


def written_targets(method: Targeted, layout: "Layout") -> list[str] | str:
    """A method's targets as `adapter_config.json` has them: defaults by their names."""
    targets = method.targets(layout)
    if targets == ALL_LINEAR:
        # PEFT would look for all linear layers itself, and the two frameworks' differ.
        targets = method.sites(layout)
    return targets if isinstance(targets, str) else sorted(targets)


def check_pattern(targets: Targets | None) -> None:
    """Refuse no target at all and a regular expression that is none."""
    if targets is not None and not targets:
        raise UserError(
            "There is no target module.",
            accepted='ends of module names such as ("q", "v"), or "all-linear"',
            received=f"target_modules={targets!r}",
        )
    if isinstance(targets, str):
        try:
            re.compile(targets)
        except re.error as error:
            raise UserError(
                f"target_modules is no regular expression ({error}).",
                accepted="one regular expression over whole module names, "
                '"all-linear", or a tuple of ends of names',
                received=f"target_modules={targets}",
            ) from error


def _inside(module: str, saved: Collection[str]) -> bool:
    """Whether the module is one of `saved` or in one.

    >>> _inside("classifier.dense", ["classifier"]), _inside("pre_classifier", ["fier"])
    (True, False)
    """
    return any(f".{name}." in f".{module}." for name in saved)


def _ends_in_path(parameter: str, end: str) -> bool:
    """Whether a module that `parameter` is in has a name that ends with `end`."""
    segments = parameter.split(".")[:-1]
    modules = (".".join(segments[: n + 1]) for n in range(len(segments)))
    return any(module.endswith(end) for module in modules)


def _nothing_matches(
    target: str, layout: "Layout", field: str = "target_modules"
) -> UserError:
    ends = _ends(layout.dense)
    alike = nearest(target.rpartition(".")[2] or target, ends)
    hint = f" Did you mean {' or '.join(alike)}?" if alike else ""
    return UserError(
        f"{target} matches no {'dense ' * (field == 'target_modules')}module of this "
        f"{layout.model_type}.{hint}",
        accepted=f"ends of module names, such as {', '.join(ends)}",
        received=f"{field}={target}",
    )


def _ends(modules: Iterable[str]) -> list[str]:
    """The last segments of module names, each once, in order.

    >>> _ends(["block.0.q", "block.0.v", "block.1.q"])
    ['q', 'v']
    """
    return list(dict.fromkeys(module.rpartition(".")[2] for module in modules))
