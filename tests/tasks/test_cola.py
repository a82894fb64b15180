"""The cola task: two forms of its input, label names as targets."""

from kerastune_llm.data.render import render_inputs, render_targets
from kerastune_llm.tasks.task import get_task


def test_two_forms():
    task = get_task("cola")
    rows = {"sentence": ["Dogs bark.", "Bark dog the."], "label": [1, 0]}
    assert render_inputs(task, rows, as_text=False) == rows["sentence"]
    # The prefix and the label words of the T5 paper, appendix D.1.
    assert render_inputs(task, rows, as_text=True)[0] == "cola sentence: Dogs bark."
    assert render_targets(task, rows) == ["acceptable", "unacceptable"]
