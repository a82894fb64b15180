"""What every registered task must keep, and the templates' own rules."""

from dataclasses import replace

import pytest

from kerastune_llm.data.answers import read_answer
from kerastune_llm.data.render import render_inputs, render_targets
from kerastune_llm.data.sources import discover_labels, encode_labels, load_rows
from kerastune_llm.metrics.scoring import score
from kerastune_llm.registry import TASKS
from kerastune_llm.tasks.custom import configure_task
from kerastune_llm.tasks.metric_kinds import scored_kind
from kerastune_llm.tasks.task import (
    get_task,
    render_template,
    template_fields,
    template_problem,
)

# These become tasks by the user's options only.
READY = [name for name in TASKS.names() if name not in ("custom", "mixture")]
WITH_SAMPLE = [name for name in READY if get_task(name).sample is not None]


@pytest.mark.parametrize("name", READY)
def test_task_is_whole(name):
    task = get_task(name)
    assert task.name == name
    assert template_problem(task.input_template) == ""
    for template in (task.target_template, task.text_input_template):
        assert not template or template_problem(template) == ""
    assert task.hub or task.sample
    if task.pair_template:
        assert template_problem(task.pair_template) == "" and task.has_labels
    assert task.reference
    assert task.has_labels or task.target_template or task.references_column
    assert {scored_kind(metric) for metric in task.metrics} == {task.kind}
    assert hash(task.input_template) and TASKS.get(name).__doc__
    assert configure_task(task) == task


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("name", WITH_SAMPLE)
def test_sample_is_scored_perfect_by_its_own_targets(name, split):
    task, rows = labelled(get_task(name), load_rows(get_task(name), split, max_rows=50))
    assert len(set(rows["id"])) == 50
    assert all(render_inputs(task, rows, as_text=True))
    targets = render_targets(task, rows)
    truth = list(rows["label"] if task.has_labels else rows["references"])
    for target, true in zip(targets, truth, strict=True):
        assert target or true == []
        if task.kind != "regression":
            assert read_answer(task, target) in (true, target)
    values = score(task.metrics, truth if task.has_labels else targets, truth)
    assert values[task.best_metric] == pytest.approx(100 if is_text(task) else 1)


def is_text(task):
    return task.kind == "seq2seq"


def labelled(task, rows):
    """The task and rows with the labels known."""
    if not task.lacks_labels:
        return task, rows
    labels = discover_labels(task, rows)
    return replace(task, labels=labels), encode_labels(rows, labels)


@pytest.mark.parametrize("name", WITH_SAMPLE)
def test_sample_s_labels_all_occur(name):
    task = get_task(name)
    if task.kind != "classification":
        return
    rows = load_rows(task, "validation")
    counts = [list(rows["label"]).count(index) for index in range(len(task.labels))]
    assert min(counts) > 0.2 * len(rows)


@pytest.mark.parametrize("name", WITH_SAMPLE)
def test_sample_keeps_the_splits_apart(name):
    task = get_task(name)
    train, validation = (
        set(render_inputs(task, load_rows(task, split), as_text=True))
        for split in ("train", "validation")
    )
    assert not train & validation


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{a} and {b}", ""),
        ("{{literal}} {a}", ""),
        ("{#1 String}", ""),
        ("  ", "is empty"),
        ("no columns", "names no column"),
        ("{a", "unbalanced brace"),
        ("a}", "unbalanced brace"),
        ("{} {a}", "no column in it"),
        ("{a.b}", "more than a column's name"),
        ("{a[0]}", "more than a column's name"),
        ("{a!r}", "more than a column's name"),
        ("{a:>5}", "more than a column's name"),
    ],
)
def test_template_problem(template, problem):
    found = template_problem(template)
    assert found == "" if problem == "" else problem in found


def test_templates_are_rendered_as_str_format_does():
    template = "{{x}} {question}? {a} {question}"
    row = {"question": "why {a}", "a": 3, "more": None}
    assert render_template(template, row) == template.format(**row)
    assert template_fields(template) == ("question", "a")
