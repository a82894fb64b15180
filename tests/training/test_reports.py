"""The plots of a run."""

from kerastune_llm.training.reports import plot_history


def test_plots_are_pictures(tmp_path):
    history = [{"step": n, "loss": 1 / n} for n in range(1, 9)]
    history.append({"step": 8, "evaluation": {"f1": 50.0, "loss": 0.5}})
    paths = plot_history(history, tmp_path)
    assert [path.name for path in paths] == ["loss.png", "metrics.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_without_evaluations_there_is_one_plot(tmp_path):
    paths = plot_history([{"step": 1, "loss": 1.0}], tmp_path)
    assert [path.name for path in paths] == ["loss.png"]
