"""The table of a model's parameters, as it is shown before training."""

from kerastune_llm.commands.console import show_table
from kerastune_llm.models.surgery import ParameterTable, table_rows


def show_parameters(table: ParameterTable) -> None:
    """Print total and trainable parameters by part.

    Where some train later only, a further column has those that train at first.
    """
    columns = ["part", "total", "trainable", "percent"]
    rows = [(*row[:3], f"{row[3]:.3g}") for row in table_rows(table)]
    if table.later:
        columns.append("at first")
        first = [row.trainable - row.later for row in (*table.rows, table)]
        rows = [(*row, count) for row, count in zip(rows, first, strict=True)]
    show_table("parameters", columns, rows)
