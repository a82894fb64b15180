"""`custom`, and any task with options laid over it."""

import pytest

from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.tasks.custom import configure_task
from kerastune_llm.tasks.task import get_task

TEXT = {"input_template": "ask: {q}", "target_template": "{a}"}
LABEL = {"input_template": "{text}", "label_column": "stars"}


def configured(name="custom", **options):
    return configure_task(get_task(name), **options)


def test_target_template_makes_seq2seq():
    task = configured(**TEXT)
    assert task.kind == "seq2seq"
    assert task.metrics == ("exact_match", "token_f1")
    assert task.best_metric == "exact_match"


def test_label_column_makes_classification():
    task = configured(**LABEL)
    assert task.kind == "classification"
    assert task.label_column == "stars" and task.labels == ()
    assert task.metrics == ("accuracy", "macro_f1")
    assert task.best_metric == "accuracy"


def test_references_column_alone_makes_seq2seq():
    task = configured(input_template="{q}", references_column="answers")
    assert task.kind == "seq2seq" and task.references_column == "answers"


@pytest.mark.parametrize(
    ("kind", "metrics", "best"),
    [
        ("regression", ("pearson", "spearman"), "pearson"),
        (
            "multilabel",
            ("multilabel_micro_f1", "multilabel_macro_f1", "set_exact_match"),
            "multilabel_micro_f1",
        ),
    ],
)
def test_other_kinds_of_labels(kind, metrics, best):
    task = configured(**LABEL, kind=kind, pair_template="{other}")
    assert (task.metrics, task.best_metric) == (metrics, best)
    assert task.fields(as_text=False) == task.fields(as_text=True) == ("text", "other")
    # On a text-to-text model one text holds both.
    assert task.template(as_text=True) == "{text} {other}"


def test_an_input_template_takes_the_place_of_all():
    task = configured("mrpc", input_template="{sentence1} or {sentence2}")
    assert task.pair_template == ""
    for as_text in (True, False):
        assert task.template(as_text=as_text) == "{sentence1} or {sentence2}"


def test_another_dataset_of_the_hub_has_no_configuration_of_the_first():
    task = configured("cola", hub="me/mine", hub_splits={"validation": "test"})
    assert (task.hub, task.hub_config) == ("me/mine", None)
    assert task.hub_splits == {"validation": "test"}


def test_metrics_give_the_best_metric():
    task = configured(**TEXT, metrics=["squad"], best_metric="f1")
    assert task.metrics == ("squad",) and task.best_metric == "f1"
    assert configured(**TEXT, metrics=("token_f1",)).best_metric == "token_f1"


def test_any_task_takes_options():
    task = configured("squad", input_template="{question} {context}", columns=None)
    assert task.input_template == "{question} {context}"
    assert task.metrics == ("squad",) and task.best_metric == "f1"
    assert configured("cola", columns={"sentence": "s"}).columns == {"sentence": "s"}
    assert configured("cola", metrics=["accuracy"]).best_metric == "accuracy"


def test_no_options_change_nothing():
    assert configured("cola") == get_task("cola")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs an input template"),
        ({"input_template": "{q}"}, "needs to know what is to be learned"),
        ({**TEXT, "input_template": " "}, "--task.input-template is empty"),
        ({**TEXT, "input_template": "{q"}, "unbalanced brace"),
        ({**TEXT, "target_template": "fixed"}, "--task.target-template names no"),
        ({**TEXT, "metrics": ["exact_mach"]}, "Did you mean exact_match"),
        ({**TEXT, "metrics": ["accuracy"]}, "does not score texts"),
        ({**LABEL, "metrics": ["squad"]}, "does not score labels"),
        ({**TEXT, "best_metric": "exact"}, "Did you mean exact_match"),
        ({**TEXT, "label_column": "y"}, "both given"),
        ({**TEXT, "pair_template": "{c}"}, "for a label"),
        ({**LABEL, "pair_template": "fixed"}, "--task.pair-template names no"),
        ({**LABEL, "kind": "regression", "metrics": ["f1"]}, "not score numbers"),
        ({**LABEL, "kind": "multilabel", "metrics": ["f1"]}, "not score sets"),
        ({**LABEL, "kind": "regression", "labels": ("a", "b")}, "for numbers"),
        ({**LABEL, "labels": ("one", "one")}, "two or more different"),
        ({**LABEL, "labels": ("one",)}, "two or more different"),
        ({**LABEL, "kind": "classification", "target_template": "{a}"}, "no meaning"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(UserError, match=message):
        configured(**options)


def test_all_problems_are_reported_together():
    with pytest.raises(UserErrors) as caught:
        configured(input_template="{q", metrics=["nope"], best_metric="x")
    assert len(caught.value.problems) == 3


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean input_template"):
        configured(input_templat="{q}")
