"""Adapters in the form of PEFT: `adapter_config.json`, `adapter_model.safetensors`."""

from kerastune_llm.methods.peft_format.loading import load_adapter
from kerastune_llm.methods.peft_format.saving import save_adapter

__all__ = ["load_adapter", "save_adapter"]
