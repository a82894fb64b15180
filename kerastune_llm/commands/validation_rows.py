"""Where a run's validation rows come from; no TensorFlow is needed to say."""

from kerastune_llm.config import RunConfig


def reads_files(config: RunConfig) -> bool:
    """Whether rows come from files, rather than the hub or a generated sample."""
    data = config.data
    if data.source != "auto":
        return data.source == "files"
    return bool(data.train or data.validation or config.mixture.train)


def is_held_out(config: RunConfig) -> bool:
    """Whether validation rows, if there are any, are held out of the training file.

    >>> is_held_out(RunConfig.parse({"task": "cola", "data": {"train": "train.tsv"}}))
    True
    """
    return reads_files(config) and config.data.validation is None


def has_validation(config: RunConfig) -> bool:
    """Whether there are validation rows: none can be held out of a streamed file."""
    data = config.data
    holds_out = data.validation_fraction > 0 and not data.streaming
    return bool(config.mixture.tasks) or not is_held_out(config) or holds_out
