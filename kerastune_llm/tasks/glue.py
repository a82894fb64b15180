"""GLUE: nine tasks of understanding English, and T5's form of each.

On an encoder a pair of sentences is given to the tokenizer as a pair; on a text-to-text
model the input has T5's prefix and field names, and the label's name is the target. The
tsv files are GLUE's own, whose quotes mean nothing.

Sources: Wang et al. 2019, arXiv:1804.07461; the renderings of Raffel et al. 2020,
arXiv:1910.10683, appendix D.
"""

from dataclasses import replace
from typing import Any

from kerastune_llm.registry import TASKS
from kerastune_llm.tasks import world, world_pairs
from kerastune_llm.tasks.task import Renames, Task


def _glue(name: str, *, text_input_template: str, **fields: Any) -> Task:
    """A GLUE task; a classification by accuracy unless `fields` say otherwise."""
    defaults = {
        "kind": "classification",
        "metrics": ("accuracy",),
        "max_input_tokens": 128,
        "max_target_tokens": 8,
        "hub": "nyu-mll/glue",
        "hub_config": name,
    }
    return Task(
        name=name,
        text_input_template=text_input_template,
        **{**defaults, **fields},
    )


def _pair(first: str, second: str) -> dict[str, str]:
    return {"input_template": f"{{{first}}}", "pair_template": f"{{{second}}}"}


@TASKS.register
def cola() -> Task:
    """Tell acceptable English sentences from unacceptable ones."""
    return _glue(
        "cola",
        input_template="{sentence}",
        text_input_template="cola sentence: {sentence}",
        labels=("unacceptable", "acceptable"),
        metrics=("matthews_correlation", "accuracy"),
        best_metric="matthews_correlation",
        tsv_columns=("source", "label", "mark", "sentence"),
        sample=world.cola_sample,
        reference="Warstadt et al. 2019, arXiv:1805.12471",
    )


@TASKS.register
def sst2() -> Task:
    """Tell whether a sentence about a film praises it."""
    return _glue(
        "sst2",
        input_template="{sentence}",
        text_input_template="sst2 sentence: {sentence}",
        labels=("negative", "positive"),
        best_metric="accuracy",
        sample=world_pairs.sentiment_rows,
        reference="Socher et al. 2013, D13-1170",
    )


@TASKS.register
def mrpc() -> Task:
    """Tell whether two sentences from the news say the same."""
    return _glue(
        "mrpc",
        **_pair("sentence1", "sentence2"),
        text_input_template="mrpc sentence1: {sentence1} sentence2: {sentence2}",
        labels=("not_equivalent", "equivalent"),
        prepare=Renames(
            {"sentence1": "#1 String", "sentence2": "#2 String", "label": "Quality"}
        ),
        metrics=("f1", "accuracy"),
        best_metric="f1",
        sample=world_pairs.paraphrase_rows,
        reference="Dolan and Brockett 2005, I05-5002",
    )


@TASKS.register
def qqp() -> Task:
    """Tell whether two questions of Quora ask the same."""
    return _glue(
        "qqp",
        **_pair("question1", "question2"),
        text_input_template="qqp question1: {question1} question2: {question2}",
        labels=("not_duplicate", "duplicate"),
        prepare=Renames({"label": "is_duplicate"}),
        metrics=("f1", "accuracy"),
        best_metric="f1",
        drops_short_rows=True,
        sample=world_pairs.question_pair_rows,
        reference="Quora Question Pairs, 2017",
    )


@TASKS.register
def stsb() -> Task:
    """Say how alike two sentences are, from 0 to 5."""
    return _glue(
        "stsb",
        kind="regression",
        **_pair("sentence1", "sentence2"),
        text_input_template="stsb sentence1: {sentence1} sentence2: {sentence2}",
        prepare=Renames({"label": "score"}),
        # 21 values as classes, T5 paper, section 2.4.
        number_step=0.2,
        metrics=("pearson", "spearman"),
        best_metric="pearson",
        sample=world_pairs.similarity_rows,
        reference="Cer et al. 2017, arXiv:1708.00055",
    )


@TASKS.register
def mnli() -> Task:
    """Tell whether a hypothesis follows; validation texts of the training's genres."""
    return _glue(
        "mnli",
        **_pair("premise", "hypothesis"),
        text_input_template="mnli hypothesis: {hypothesis} premise: {premise}",
        labels=("entailment", "neutral", "contradiction"),
        prepare=Renames(
            {
                "id": "pairID",
                "premise": "sentence1",
                "hypothesis": "sentence2",
                "label": "gold_label",
            }
        ),
        best_metric="accuracy",
        hub_splits={"train": "train", "validation": "validation_matched"},
        sample=world_pairs.inference_rows,
        reference="Williams et al. 2018, arXiv:1704.05426",
    )


@TASKS.register
def mnli_mismatched() -> Task:
    """The task mnli with validation texts of other genres than the training's."""
    splits = {"train": "train", "validation": "validation_mismatched"}
    return replace(mnli(), name="mnli_mismatched", hub_splits=splits)


@TASKS.register
def qnli() -> Task:
    """Tell whether a sentence holds the answer to a question."""
    return _glue(
        "qnli",
        **_pair("question", "sentence"),
        text_input_template="qnli question: {question} sentence: {sentence}",
        labels=("entailment", "not_entailment"),
        best_metric="accuracy",
        sample=world_pairs.answer_sentence_rows,
        reference="Wang et al. 2019, arXiv:1804.07461, from SQuAD v1.1",
    )


@TASKS.register
def rte() -> Task:
    """Tell whether a sentence follows from a text."""
    return _glue(
        "rte",
        **_pair("sentence1", "sentence2"),
        text_input_template="rte sentence1: {sentence1} sentence2: {sentence2}",
        labels=("entailment", "not_entailment"),
        best_metric="accuracy",
        sample=world_pairs.entailment_rows,
        reference="Bentivogli et al. 2009, RTE-1 to RTE-5",
    )


@TASKS.register
def wnli() -> Task:
    """Tell whether a sentence with its pronoun replaced follows."""
    return _glue(
        "wnli",
        **_pair("sentence1", "sentence2"),
        text_input_template="wnli sentence1: {sentence1} sentence2: {sentence2}",
        labels=("not_entailment", "entailment"),
        best_metric="accuracy",
        sample=world_pairs.entailment_rows,
        reference="Levesque et al. 2012, the Winograd schema challenge",
    )
