import json

import pytest

from kerastune_llm.errors import UserError
from kerastune_llm.rundir import RunDir, write_json, write_jsonl


def test_the_folder_of_a_model_is_no_run(tmp_path):
    run = RunDir(tmp_path / "run")
    write_json(run.model / "config.json", {"model_type": "t5", "d_model": 8})
    message = r"of a model(.|\n)*train TASK --model \S+run/model"
    with pytest.raises(UserError, match=message):
        RunDir.open(run.model)
    write_json(run.config, {"task": {"name": "cola"}})
    assert RunDir.begun(run.path).is_begun


def test_create_refuses_a_run(tmp_path):
    run = RunDir.create(tmp_path / "run")
    write_json(run.config, {"task": "squad"})
    with pytest.raises(UserError, match="already holds an unfinished run"):
        RunDir.create(run.path)
    write_json(run.metrics, {})
    with pytest.raises(UserError, match="already holds a finished run"):
        RunDir.create(run.path)


def test_create_refuses_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        RunDir.create(tmp_path / "file" / "run")


def test_open_names_what_is_missing(tmp_path):
    with pytest.raises(UserError, match="no run in this folder"):
        RunDir.open(tmp_path)
    write_json(tmp_path / "config.json", {})
    with pytest.raises(UserError, match="no saved model"):
        RunDir.open(tmp_path)


def test_history_appends_lines(tmp_path):
    run = RunDir.create(tmp_path)
    run.append_history({"step": 1})
    run.append_history({"step": 2})
    lines = run.history.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]


@pytest.mark.parametrize(
    ("evaluation", "kept"),
    [(False, ["1", "2", "2e", "4"]), (True, ["1", "2", "2e", "4", "4e"])],
)
def test_history_is_cut_where_a_run_goes_on(tmp_path, evaluation, kept):
    run = RunDir.create(tmp_path)
    for step in (1, 2, 4, 5):
        run.append_history({"step": step, "loss": 0.5})
        if step % 2 == 0:
            run.append_history({"step": step, "evaluation": {"f1": 0.1}})
    with run.history.open("a") as file:
        file.write('{"step": 6, "lo')
    run.cut_history(4, evaluation=evaluation)
    found = [f"{x['step']}{'e' * ('evaluation' in x)}" for x in run.read_history()]
    assert found == kept


def test_checkpoints_newest_first(tmp_path):
    run = RunDir.create(tmp_path)
    for step in (9, 10, 100_000_000):
        run.checkpoint(step).mkdir(parents=True)
    (run.checkpoints / ".writing").mkdir()
    steps = [int(path.name.removeprefix("step-")) for path in run.saved_checkpoints()]
    assert steps == [100_000_000, 10, 9]


def test_a_failing_write_keeps_the_earlier_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"a": 1}])

    def rows():
        yield {"a": 2}
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_jsonl(path, rows())
    assert path.read_text() == '{"a": 1}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_predictions_are_read_by_line_feeds_alone(tmp_path):
    records = [{"input": "one\u2028line\x85all the same"}, {"input": "two"}]
    run = RunDir(tmp_path)
    assert run.read_predictions("validation") == []
    write_jsonl(run.predictions("validation"), records)
    assert run.read_predictions("validation") == records
