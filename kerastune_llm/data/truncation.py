"""What cutting to the maximal lengths has cost."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TruncationReport:
    """Counts of rows.

    Args:
        rows: All rows.
        inputs_cut: Inputs longer than the maximum.
        answers_lost: Rows whose target stood in the input and does not stand in the
            part that was kept: the model cannot see it any more.
        targets_cut: Targets longer than the maximum.
    """

    rows: int
    inputs_cut: int = 0
    answers_lost: int = 0
    targets_cut: int = 0


def describe_truncation(report: TruncationReport) -> str:
    """The report in words.

    >>> describe_truncation(TruncationReport(1000, inputs_cut=52, answers_lost=4))
    '52 of 1,000 inputs cut (5.2 %), the answer lost in 4'
    >>> describe_truncation(TruncationReport(1000))
    'nothing cut in 1,000 rows'
    """
    parts = []
    if report.inputs_cut:
        parts.append(_share("inputs", report.inputs_cut, report.rows))
    if report.answers_lost:
        parts.append(f"the answer lost in {report.answers_lost:,}")
    if report.targets_cut:
        parts.append(_share("targets", report.targets_cut, report.rows))
    return ", ".join(parts) or f"nothing cut in {report.rows:,} rows"


def _share(what: str, count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} {what} cut ({100 * count / rows:.1f} %)"
