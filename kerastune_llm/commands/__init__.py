"""One verb, one file: the only place that sees the whole RunConfig."""
