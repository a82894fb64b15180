"""What a run on a streamed file cannot have."""

from kerastune_llm.commands.job import Job, data_source
from kerastune_llm.errors import UserError, UserErrors


def check_streaming(job: Job) -> None:
    """Refuse what needs all training rows at once.

    Raises:
        UserErrors: Each of them, with what does it instead.
    """
    data = job.config.data
    is_file = data_source(job.config) == "files" and data.train is not None
    asked = [
        (
            not is_file or bool(job.task.members),
            "reads one training file",
            f"--data.source {data.source}, task {job.task.name}",
            "--data.train FILE",
        ),
        (
            bool(data.augment),
            "cannot make rows out of others, which it does not hold",
            f"--data.augment {','.join(data.augment)}",
            "leave one of the two out",
        ),
        (
            data.max_train_samples is not None,
            "cannot choose among rows that it has not read",
            f"--data.max-train-samples {data.max_train_samples}",
            "--optim.max-steps N, or a file with fewer rows",
        ),
        (
            data.long_context == "window",
            "cannot count windows that it has not cut",
            "--data.long-context window",
            "--data.long-context truncate",
        ),
        (
            bool(job.config.runtime.trunk_cache),
            "keeps no outputs of a frozen trunk, which grow with the rows",
            "--runtime.trunk-cache",
            "--no-runtime.trunk-cache",
        ),
    ]
    problems = [
        UserError(f"--data.streaming {what}.", received=received, mend=mend)
        for is_asked, what, received, mend in asked
        if is_asked
    ]
    if problems:
        raise UserErrors(problems)
