"""The page that puts runs side by side, made of runs that were written by hand."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kerastune_llm.cli import main
from kerastune_llm.commands.report_runs import read_runs
from kerastune_llm.commands.report_samples import samples
from kerastune_llm.rundir import RunDir, write_json, write_jsonl, write_text

ROWS = 30
COLA = {"name": "cola", "labels": ["unacceptable", "acceptable"]}


def record(number: int, prediction: str, reference: str = "Ana") -> dict[str, Any]:
    return {
        "id": str(number),
        "input": f"question: who is {'so ' * number}tall?",
        "prediction": prediction,
        "references": [reference],
        "score": 100.0 * (prediction == reference),
    }


def write_run(
    path: Path,
    records: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, float] | None,
    *,
    task: object = "squad",
    rate: float = 1e-3,
) -> Path:
    """A run of two evaluations that trained 25 of 1,000 weights in an hour."""
    run = RunDir(path)
    optim = {"learning_rate": rate, "schedule": "cosine"}
    write_json(run.config, {"task": task, "output": str(path), "optim": optim})
    trained = {
        "trainable": 25,
        "total": 1000,
        "percent": 2.5,
        "training_rows": 80,
        "steps": 20,
        "seconds": 3600.4,
        "peak_memory": 2_000_000_000,
    }
    versions = {"versions": {"tensorflow": "2.21.0"}}
    write_json(run.environment, {**versions, "trained": trained})
    write_jsonl(run.predictions("validation"), records)
    write_text(run.adapter / "adapter_model.safetensors", "x" * 1500)
    for step in (10, 20):
        run.append_history({"step": step, "loss": 1 / step})
        if metrics:
            run.append_history({"step": step, "evaluation": dict(metrics)})
    if metrics is not None:
        write_json(run.metrics, metrics)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    """Two runs of squad; the second has every third row wrong, one of them oddly."""
    folder = tmp_path_factory.mktemp("runs")
    right = [record(n, "Ana") for n in range(ROWS)]
    wrong = {0: "<script>alert(1)</script>\u2028Bo"}
    worse = [
        record(n, wrong.get(n, "Bo") if n % 3 == 0 else "Ana") for n in range(ROWS)
    ]
    scores = {"exact_match": 100.0, "f1": 100.0, "loss": 0.1}
    write_run(folder / "good", right, scores)
    write_run(folder / "worse", worse, {**scores, "exact_match": 66.667}, rate=5e-5)
    return folder / "good", folder / "worse"


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory) -> str:
    file = tmp_path_factory.mktemp("page") / "new" / "report.html"
    assert main(["report", *map(str, runs), "--output", str(file)]) == 0
    return file.read_text(encoding="utf-8")


def part(page: str, heading: str) -> str:
    """What stands under a heading."""
    return page.partition(f"<h2>{heading}</h2>")[2].partition("<h2>")[0]


def cells(page: str, name: str) -> list[str]:
    """The cells of the first row of that name."""
    row = re.search(rf'<th scope="row">{re.escape(name)}</th>(.*?)</tr>', page)
    return re.findall("<td>(.*?)</td>", row[1])


def test_the_page_needs_no_other_file(page):
    links = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(
        r"url\(([^)]*)\)", page
    )
    assert all(link.startswith("#") for link in links)
    assert "@import" not in page and "<script" not in page


def test_only_settings_that_differ_are_shown_at_first(page):
    at_first, _, folded = part(page, "Settings that differ").partition("<details>")
    assert cells(at_first, "--optim.learning-rate") == ["0.001", "5e-05"]
    assert "--optim.schedule" not in at_first and "--output" not in folded
    assert cells(folded, "--optim.schedule") == ["cosine", "cosine"]


def test_metrics_have_intervals_where_rows_can_be_resampled(page):
    metrics = part(page, "Metrics")
    right, worse = cells(metrics, "exact_match")
    assert right == "100 [100, 100]"
    # Around 66.7; two standard errors of 30 rows, 8.6 each, are about 17.
    value, low, high = map(float, re.findall(r"[\d.]+", worse))
    assert value == 66.67
    assert 43 < low < 56 and 77 < high < 91
    assert cells(metrics, "loss") == ["0.1", "0.1"]
    assert cells(metrics, "rows scored") == ["30", "30"]


def test_counts_time_and_memory(page):
    assert cells(page, "of these trained") == ["25 (2.5 %)"] * 2
    assert cells(page, "time, evaluations included") == ["3,600 s"] * 2
    assert cells(page, "peak memory of the process") == ["2,000 MB"] * 2
    assert cells(page, "saved") == ["0.0015 MB"] * 2


def test_curves_and_lengths_are_drawn_in_the_colour_of_the_text(page):
    learned = part(page, "How they learned")
    captions = re.findall("<figcaption>(.*?)</figcaption>", learned)
    assert captions == [
        "training loss per label, smoothed",
        "exact_match",
        "f1",
        "validation loss per label",
        "score by length of the input",
    ]
    assert learned.count("<svg") == len(captions)
    assert "currentColor" in learned and "#010203" not in learned


def test_answers_of_the_same_rows_stand_side_by_side(runs, page):
    [chosen] = samples(read_runs(runs)).values()
    assert len(chosen) == 12
    unequal = [row for row in chosen if len({x.score for x in row.answers}) > 1]
    assert len(unequal) == 8
    assert [row.input for row in chosen] == sorted(
        (row.input for row in chosen), key=len
    )
    assert all([x.place for x in row.answers] == [0, 1] for row in chosen)
    assert page.count("<article>") == 12


def test_answers_are_text_and_no_html(runs, tmp_path):
    odd = record(0, "<script>alert(1)</script>\u2028Bo")
    write_run(tmp_path / "odd", [odd], {"exact_match": 0.0, "f1": 0.0})
    file = tmp_path / "odd.html"
    assert main(["report", str(tmp_path / "odd"), "--output", str(file)]) == 0
    text = file.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\u2028Bo" in text


def test_runs_of_other_tasks_stand_beside_each_other(runs, tmp_path):
    labels = [record(n, "acceptable", "acceptable") for n in range(3)]
    metrics = {"matthews_correlation": 0.0, "accuracy": 1.0}
    other = write_run(tmp_path / "labels", labels, metrics, task=COLA)
    file = tmp_path / "both.html"
    assert main(["report", str(runs[0]), str(other), "--output", str(file)]) == 0
    text = file.read_text(encoding="utf-8")
    assert cells(text, "accuracy") == ["–", "1 [1, 1]"]
    assert cells(text, "exact_match") == ["100 [100, 100]", "–"]
    assert "Answers to rows of cola" in text and "Answers to rows of squad" in text


def test_a_run_s_own_intervals_are_taken(tmp_path):
    metrics = {"f1": 5.0, "f1_low": 4.0, "f1_high": 6.0}
    write_run(tmp_path / "run", [record(0, "Ana")], metrics)
    [run] = read_runs([tmp_path / "run"])
    assert run.intervals == {"f1": (4.0, 6.0)}


def damage(folder: Path) -> None:
    (folder / "predictions" / "validation.jsonl").write_text('{"id": ')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("absent --output r.html", "no run in this folder"),
        ("unfinished --output r.html", "kerastune resume unfinished"),
        ("good good --output r.html", "given twice"),
        ("damaged --output r.html", "damaged"),
        ("good --output good", "ends in .html"),
        ("good --output file/r.html", "cannot be written"),
        ("absent unfinished --output r.html", "2 problems"),
    ],
)
def test_refusals_write_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows, metrics = [record(0, "Ana")], {"f1": 100.0}
    write_run(Path("good"), rows, metrics)
    write_run(Path("unfinished"), rows, None)
    damage(write_run(Path("damaged"), rows, metrics))
    Path("file").write_text("")
    assert main(["report", *arguments.split()]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
    assert not Path("r.html").exists()
