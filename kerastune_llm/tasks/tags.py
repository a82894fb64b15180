"""Tags of Stack Overflow questions from their titles."""

from kerastune_llm.registry import TASKS
from kerastune_llm.tasks import world_texts
from kerastune_llm.tasks.task import Renames, Row, Task


@TASKS.register
def tags() -> Task:
    """Give a question its tags, by its title; any number of them.

    An encoder gets a sigmoid for each tag of the training rows; a text-to-text model
    writes them with commas between, in the order of the rows. Your own rows:
    `--data.train FILE` with `title` and `tags` (a list, or `"php, sql"`, or the data
    dump's `"<php><sql>"`).
    """
    return Task(
        name="tags",
        kind="multilabel",
        input_template="{title}",
        text_input_template="tags: {title}",
        label_column="tags",
        prepare=tag_list,
        metrics=("multilabel_micro_f1", "multilabel_macro_f1", "set_exact_match"),
        best_metric="multilabel_micro_f1",
        max_input_tokens=64,
        max_target_tokens=32,
        sample=world_texts.tag_rows,
        reference="Stack Exchange data dump, CC BY-SA",
    )


_DUMP = Renames({"title": "Title", "tags": "Tags"})


def tag_list(row: Row) -> Row:
    """The row with the data dump's tags as a list; any other stay as they are.

    >>> tag_list({"Title": "Why?", "Tags": "<c++><sql>"})["tags"]
    ['c++', 'sql']
    """
    row = _DUMP(row)
    value = row.get("tags")
    if isinstance(value, str) and value.startswith("<") and value.endswith(">"):
        return {**row, "tags": value[1:-1].split("><")}
    return row
