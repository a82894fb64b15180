import pytest

from kerastune_llm.backend import tf
from kerastune_llm.registry import TASKS
from kerastune_llm.serving.template import render_in_graph
from kerastune_llm.tasks.task import get_task, render_template, template_fields


@pytest.mark.parametrize("name", [n for n in TASKS.names() if n != "custom"])
def test_graph_and_python_render_alike(name):
    template = get_task(name).template(as_text=True)
    texts = {field: f"<{field}> {{x}} é\n" for field in template_fields(template)}
    fields = {field: tf.constant([text, ""]) for field, text in texts.items()}
    first, second = render_in_graph(template, fields).numpy()
    assert first.decode() == render_template(template, texts)
    assert second.decode() == render_template(template, dict.fromkeys(texts, ""))
