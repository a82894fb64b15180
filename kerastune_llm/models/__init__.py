"""Hugging Face models in TensorFlow: loading, names, layout, surgery, generation."""
