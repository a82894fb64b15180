"""Metrics: `(predictions, references) -> dict[str, float]`, all offline."""
