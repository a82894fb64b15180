"""Metrics: `(predictions, references) -> dict[str, float]`, offline. No TensorFlow here."""
