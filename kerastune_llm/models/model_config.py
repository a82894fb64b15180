"""Model configurations: reading config.json, and which TensorFlow class it asks for."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from kerastune_llm.backend import keras, transformers  # isort: skip

from transformers.models.auto import modeling_tf_auto

from kerastune_llm.errors import UserError, nearest
from kerastune_llm.models.sources import model_name, resolve_source

logger = logging.getLogger(__name__)

ModelKind = Literal["seq2seq", "classification", "regression", "multilabel"]
KINDS: tuple[ModelKind, ...] = ("seq2seq", "classification", "regression", "multilabel")

_PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "regression": "regression",
    "multilabel": "multi_label_classification",
}
_SEQ2SEQ = modeling_tf_auto.TF_MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
_WITH_HEAD = modeling_tf_auto.TF_MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES


def load_config(
    source: str | Path, *, revision: str | None = None
) -> transformers.PretrainedConfig:
    """The configuration of a model, ready for its TensorFlow class.

    Args:
        source: What `resolve_source` takes: a folder, a bundled model or a hub id.
        revision: Branch, tag or commit on the hub.

    Raises:
        UserError: No config.json, an unreadable one, or an architecture that has no
            TensorFlow class for text to text or classification.
    """
    folder = resolve_source(source, revision=revision, with_weights=False)
    model_type = _model_type(folder)
    if model_type not in {*_SEQ2SEQ, *_WITH_HEAD}:
        raise _unknown_type(folder, model_type)
    try:
        # Never code of the checkpoint's own: the architecture is transformers'.
        config = transformers.AutoConfig.from_pretrained(
            folder, trust_remote_code=False
        )
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"config.json does not describe a {model_type} model: {error}",
            received=str(folder / "config.json"),
            mend="take the config.json of the checkpoint",
        ) from error
    # Not the folder in the hub's cache: adapters name their base model by this.
    config.name_or_path = model_name(source)
    return _as_of_version_4(config)


def supports_head(config: transformers.PretrainedConfig) -> bool:
    """Whether the architecture has a TensorFlow class with a classification head.

    T5 has none: it classifies as text to text.
    """
    return config.model_type in _WITH_HEAD


def kind_of(config: transformers.PretrainedConfig) -> ModelKind:
    """The kind of model a checkpoint was saved as, else the natural one of its type."""
    saved_as = (config.architectures or [""])[0]
    may_generate = config.model_type in _SEQ2SEQ
    if not supports_head(config):
        return "seq2seq"
    if may_generate and not saved_as.endswith("ForSequenceClassification"):
        return "seq2seq"
    by_problem = {problem: kind for kind, problem in _PROBLEM_TYPES.items()}
    return by_problem.get(config.problem_type or "", "classification")


def class_for(
    config: transformers.PretrainedConfig, kind: ModelKind
) -> type[keras.Model]:
    """The TensorFlow class of an architecture for a kind of task.

    Raises:
        UserError: transformers has no such class; says what to use instead.
    """
    if kind not in KINDS:
        accepted = ", ".join(KINDS)
        raise UserError("Unknown kind of model.", accepted=accepted, received=kind)
    names = _SEQ2SEQ if kind == "seq2seq" else _WITH_HEAD
    if config.model_type in names:
        return getattr(transformers, names[config.model_type])
    if kind == "seq2seq":
        raise UserError(
            "This model reads text but does not write any; the task wants text out.",
            accepted=", ".join(_SEQ2SEQ),
            received=config.model_type,
            mend="--model google/flan-t5-small, or --model starter",
        )
    raise UserError(
        "This model has no classification head: it answers with text.",
        accepted=", ".join(_WITH_HEAD),
        received=config.model_type,
        mend="--task.form text (the labels' names are generated), or a BERT-like model "
        "such as --model distilbert-base-uncased or --model minilm",
    )


def set_labels(
    config: transformers.PretrainedConfig, kind: ModelKind, labels: Sequence[str] | None
) -> None:
    """Write the task's labels and problem type into a configuration.

    Args:
        config: Changed in place.
        kind: What the head answers; `"seq2seq"` has no labels and changes nothing.
        labels: Names in index order; without them the configuration keeps its own.

    Raises:
        UserError: A label twice, or a single label to choose from.
    """
    if kind == "seq2seq":
        return
    config.problem_type = _PROBLEM_TYPES[kind]
    if kind == "regression" and not labels:
        config.num_labels = 1
    if not labels:
        return
    if len(set(labels)) < len(labels) or (kind == "classification" and len(labels) < 2):
        raise UserError(
            "The labels must be different names, at least two of them.",
            received=", ".join(labels),
        )
    own = list(config.id2label.values())
    if sorted(own) == sorted(labels) and own != list(labels):
        logger.warning(
            "the checkpoint's head has the labels in another order (%s): until it is "
            "trained, its answers mean %s",
            ", ".join(own),
            ", ".join(labels),
        )
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}


def _model_type(folder: Path) -> str:
    file = folder / "config.json"
    if (folder / "adapter_config.json").is_file() and not file.is_file():
        raise UserError(
            "This folder holds an adapter, not a model.",
            accepted="--model with the base model, and --adapter with the adapter",
            received=str(folder),
            mend=f"--model {_base_model(folder)} --adapter {folder}",
        )
    if not file.is_file():
        present = sorted(entry.name for entry in folder.iterdir())
        raise UserError(
            "The model folder has no config.json.",
            received=f"{folder}: {', '.join(present[:12]) or 'empty'}",
            mend="give the folder of a Hugging Face model",
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return content["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            "config.json is not the configuration of a model.",
            accepted='a JSON object with "model_type"',
            received=f"{file} ({type(error).__name__}: {error})",
            mend="fetch it again",
        ) from error


def _base_model(folder: Path) -> str:
    """What an adapter's folder names as its base model; `BASE` where it names none."""
    try:
        values = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        return str(values["base_model_name_or_path"] or "BASE")
    except (OSError, ValueError, KeyError, TypeError):
        return "BASE"


def _unknown_type(folder: Path, model_type: object) -> UserError:
    types = sorted({*_SEQ2SEQ, *_WITH_HEAD})
    alike = nearest(str(model_type), types)
    hint = f" Did you mean {' or '.join(alike)}?" if alike else ""
    return UserError(
        f"There is no TensorFlow class for this architecture.{hint}",
        accepted=", ".join(types),
        received=f"{model_type!r} in {folder / 'config.json'}",
    )


def _as_of_version_4(
    config: transformers.PretrainedConfig,
) -> transformers.PretrainedConfig:
    """Undo how transformers 5 writes T5's output layer.

    In version 4 `tie_word_embeddings` also decides whether the decoder's output is
    scaled by d_model^-0.5. Version 5 always writes it as true; whether to scale is in
    `scale_decoder_outputs` for T5, and mT5 never does.
    """
    unscaled_t5 = getattr(config, "scale_decoder_outputs", None) is False
    version = str(config.transformers_version or "4")
    unscaled_mt5 = config.model_type == "mt5" and int(version.split(".")[0]) >= 5
    if config.model_type in ("t5", "mt5") and (unscaled_t5 or unscaled_mt5):
        config.tie_word_embeddings = False
    return config
