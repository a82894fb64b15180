"""Fine-tune Hugging Face T5 and BERT models in TensorFlow with Keras `fit`.

The names below are imported when they are first used, so that importing the package
loads no TensorFlow.
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "train": "kerastune_llm.commands.train",
    "resume": "kerastune_llm.commands.resume",
    "evaluate": "kerastune_llm.commands.evaluate",
    "predict": "kerastune_llm.commands.predict",
    "export": "kerastune_llm.commands.export",
    "compare": "kerastune_llm.commands.compare",
    "transfer": "kerastune_llm.commands.transfer",
    "RunConfig": "kerastune_llm.config",
    "TASKS": "kerastune_llm.registry",
    "METHODS": "kerastune_llm.registry",
    "METRICS": "kerastune_llm.registry",
    "OPTIMIZERS": "kerastune_llm.registry",
    "Task": "kerastune_llm.tasks.task",
    "get_task": "kerastune_llm.tasks.task",
    "configure_task": "kerastune_llm.tasks.custom",
    "load_metric": "kerastune_llm.metrics.module",
    "load_rows": "kerastune_llm.data.sources",
    "discover_labels": "kerastune_llm.data.sources",
    "encode_labels": "kerastune_llm.data.sources",
    "tokenise": "kerastune_llm.data.features",
    "build_dataset": "kerastune_llm.data.pipeline",
    "load_model": "kerastune_llm.models.loading",
    "load_tokenizer": "kerastune_llm.models.loading",
    "save_model": "kerastune_llm.models.checkpoint",
    "apply_method": "kerastune_llm.methods.apply",
    "merge_delta": "kerastune_llm.methods.merge",
    "load_adapter": "kerastune_llm.methods.peft_format",
    "save_adapter": "kerastune_llm.methods.peft_format",
    "count_parameters": "kerastune_llm.models.surgery",
    "get_strategy": "kerastune_llm.training.strategy",
    "build_optimizer": "kerastune_llm.training.optimizers",
    "build_schedule": "kerastune_llm.training.schedules",
    "compile_model": "kerastune_llm.training.step",
    "Evaluate": "kerastune_llm.training.callbacks",
    "KeepBest": "kerastune_llm.training.callbacks",
    "Scorer": "kerastune_llm.training.scoring",
    "plot_confusion": "kerastune_llm.training.prediction_plots",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
