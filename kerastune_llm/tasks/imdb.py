"""IMDb: does a review of a film praise it?"""

from kerastune_llm.registry import TASKS
from kerastune_llm.tasks import world_pairs
from kerastune_llm.tasks.task import Renames, Task


@TASKS.register
def imdb() -> Task:
    """Tell whether a whole review of a film praises it.

    Takes the folder layout too, `--data.train aclImdb/train`, and the csv with the
    columns `review` and `sentiment`.
    """
    return Task(
        name="imdb",
        kind="classification",
        input_template="{text}",
        text_input_template="imdb review: {text}",
        labels=("negative", "positive"),
        label_folders={"neg": "negative", "pos": "positive"},
        prepare=Renames({"text": "review", "label": "sentiment"}),
        metrics=("accuracy", "macro_f1"),
        best_metric="accuracy",
        max_input_tokens=512,
        max_target_tokens=8,
        hub="stanfordnlp/imdb",
        hub_splits={"train": "train", "validation": "test"},
        sample=world_pairs.review_rows,
        reference="Maas et al. 2011, P11-1015",
    )
