"""Tokenizers of Hugging Face as TensorFlow operations, with the same ids."""
