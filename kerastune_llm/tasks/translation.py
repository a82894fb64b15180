"""Translation of WMT's language pairs, with T5's prefix."""

from collections.abc import Mapping

from kerastune_llm.registry import TASKS
from kerastune_llm.tasks import world_texts
from kerastune_llm.tasks.task import Row, Task


@TASKS.register
def translation() -> Task:
    """Translate English to German; any other pair by its two templates.

    English to French: `--task.input-template "translate English to French: {en}"
    --task.target-template "{fr}" --task.hub-config fr-en`.
    """
    return Task(
        name="translation",
        kind="seq2seq",
        input_template="translate English to German: {en}",
        target_template="{de}",
        prepare=by_language,
        metrics=("bleu", "chrf"),
        best_metric="bleu",
        max_input_tokens=128,
        max_target_tokens=128,
        hub="wmt/wmt14",
        hub_config="de-en",
        sample=world_texts.translation_rows,
        reference="Bojar et al. 2014, W14-3302",
    )


def by_language(row: Row) -> Row:
    """The row with a column for each language, from WMT's `translation`.

    >>> by_language({"translation": {"en": "Yes.", "de": "Ja."}})["de"]
    'Ja.'
    """
    texts = row.get("translation")
    return {**row, **texts} if isinstance(texts, Mapping) else row
