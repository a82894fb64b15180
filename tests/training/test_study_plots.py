"""The pictures of a study are pictures, whatever the runs have."""

import numpy as np
import pandas
import pytest
from matplotlib.image import imread

from kerastune_llm.training.comparison import Record
from kerastune_llm.training.study_plots import plot_convergence, plot_heat_map

PNG = b"\x89PNG"


def record(group, evaluations):
    return Record(group, 0.5, evaluations, [(1, 2.0), (2, 1.0)], {})


@pytest.mark.parametrize("groups", [1, 12])
def test_convergence_with_seeds_that_stopped_at_different_steps(groups, tmp_path):
    records = [
        record(f"method {number}", evaluations)
        for number in range(groups)
        for evaluations in ([(10, 0.1), (20, 0.4)], [(10, 0.2)])
    ]
    plot_convergence(records, "accuracy", tmp_path / "plots" / "convergence.png")
    assert (tmp_path / "plots/convergence.png").read_bytes().startswith(PNG)


def test_long_names_leave_the_plot_its_width(tmp_path):
    """The axes of a picture with long names are as wide as of one with short ones."""
    widths = []
    for name in ("lora", "lora:" + "target_modules=all-linear," * 3):
        path = tmp_path / f"{len(name)}.png"
        plot_convergence([record(name, [(10, 0.1), (20, 0.4)])], "accuracy", path)
        # Rows of the picture: the frame of the axes is the longest dark run of one.
        dark = imread(path)[..., :3].max(axis=2) < 0.2
        widths.append(dark.sum(axis=1).max())
    assert widths[1] >= 0.95 * widths[0]


def test_heat_map_with_a_column_without_shares(tmp_path):
    scores = pandas.DataFrame({"a": [0.0, 0.8], "b": [0.1, 0.0]}, index=["a", "b"])
    shares = pandas.DataFrame({"a": [0.0, 1.0], "b": [np.nan] * 2}, index=["a", "b"])
    plot_heat_map(scores, shares, tmp_path / "transfer.png")
    assert (tmp_path / "transfer.png").read_bytes().startswith(PNG)
