"""What every registered task must keep, and the templates' own rules."""

import pytest

from kerastune_llm.data.render import render_inputs, render_targets
from kerastune_llm.data.sources import load_rows
from kerastune_llm.metrics.scoring import score
from kerastune_llm.registry import TASKS
from kerastune_llm.tasks.custom import configure_task, scored_kind
from kerastune_llm.tasks.task import (
    get_task,
    render_template,
    template_fields,
    template_problem,
)

# `custom` becomes a task by the user's options only.
READY = [name for name in TASKS.names() if name != "custom"]
WITH_SAMPLE = [name for name in READY if get_task(name).sample is not None]


@pytest.mark.parametrize("name", READY)
def test_task_is_whole(name):
    task = get_task(name)
    assert task.name == name
    assert template_problem(task.input_template) == ""
    for template in (task.target_template, task.text_input_template):
        assert not template or template_problem(template) == ""
    assert task.hub or task.sample
    assert task.reference
    assert task.has_labels or task.target_template or task.references_column
    assert {scored_kind(metric) for metric in task.metrics} == {task.kind}
    assert hash(task.input_template) and TASKS.get(name).__doc__
    assert configure_task(task) == task


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("name", WITH_SAMPLE)
def test_sample_is_scored_perfect_by_its_own_targets(name, split):
    task = get_task(name)
    rows = load_rows(task, split, max_rows=50)
    assert len(set(rows["id"])) == 50
    inputs = render_inputs(task, rows, as_text=True)
    targets = render_targets(task, rows)
    assert all(inputs) and all(targets)
    truth = list(rows["label"] if task.has_labels else rows["references"])
    values = score(task.metrics, truth if task.has_labels else targets, truth)
    assert values[task.best_metric] in (1.0, 100.0)


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
