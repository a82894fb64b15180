"""`kerastune bench` on a tiny model: figures that agree, and nothing left behind."""

import json
import signal

import pytest

from kerastune_llm.cli import main
from kerastune_llm.commands import bench as bench_module
from kerastune_llm.commands.bench import bench
from kerastune_llm.commands.bench_figures import advise, find_limit
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from tests.commands.runs import tiny_job


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return tiny_job(tmp_path_factory.mktemp("bench"))


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_figures_agree_with_each_other_and_no_run_is_written(job, inside, capsys):
    config, file = inside / "config.json", inside / "new" / "figures.json"
    config.write_text(json.dumps({**job, "output": str(inside / "run")}))
    command = ["bench", "--config", str(config), "--steps", "4"]
    assert main([*command, "--output", str(file)]) == 0
    figures = json.loads(file.read_text())
    assert figures["steps"] == 4
    shares = [figures[f"{n}_share"] for n in ("input", "optimizer", "compute")]
    assert sum(shares) == pytest.approx(1) and min(shares) >= 0
    # Batches of 8 rows, but for the epoch's last one.
    assert 4 < figures["examples_per_second"] * figures["seconds_per_step"] <= 8
    done = figures["flops_per_step"] / figures["seconds_per_step"]
    assert figures["utilisation"] == pytest.approx(done / figures["matrix_flops"])
    assert 0 < figures["padding"] < 0.5 and figures["trunk_seconds"] == 0
    assert figures["seconds_to_first_step"] > 0 < figures["peak_memory"]
    out = capsys.readouterr().out
    assert "4 updates after 3 of warm-up" in out
    assert f"limited by: {figures['limit']}" in out
    assert sorted(path.name for path in inside.iterdir()) == ["config.json", "new"]
    # A file that is there is left as it is.
    assert main([*command, "--output", str(file)]) == 2
    assert "left as it is" in capsys.readouterr().err


def test_a_kept_trunk_is_timed_apart_and_its_work_left_out(job, inside):
    runtime = {"trunk_cache": True}
    head = {**job, "method": "head"}
    whole = bench({**head, "runtime": {"trunk_cache": False}}, steps=2)
    kept = bench({**head, "runtime": runtime}, steps=2)
    assert kept.trunk_seconds > 0 == whole.trunk_seconds
    assert kept.flops_per_step < 0.1 * whole.flops_per_step
    assert any("--runtime.trunk-cache" in text for text in whole.advice)
    assert not any("--runtime.trunk-cache" in text for text in kept.advice)


def test_under_xla_there_are_few_shapes(job, inside):
    plain = bench(job, steps=2)
    compiled = bench({**job, "runtime": {"jit": True}}, steps=2)
    # One to six words are of one or two widths, and an epoch's last batch is smaller.
    assert compiled.shapes <= 3 < plain.shapes
    assert (compiled.steps, compiled.parameters) == (2, plain.parameters)


def test_ctrl_c_ends_it_with_130(job, inside, monkeypatch, capsys):
    timed = bench_module.time_steps

    def interrupted(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        return timed(*arguments, **options)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(bench_module, "time_steps", interrupted)
    (inside / "config.json").write_text(json.dumps(job))
    try:
        assert main(["bench", "--config", "config.json"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted" in capsys.readouterr().err
    assert [path.name for path in inside.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--steps", "0"], "--steps must be positive"),
        (["--output", "figures.txt"], "a name that ends in .json"),
        (["--runtime.strategy", "mirrored"], "--runtime.strategy one"),
        (["--metod", "lora"], "--method"),
    ],
)
def test_wrong_flags_are_refused(flags, message, capsys):
    assert main(["bench", "cola", *flags]) == 2
    assert message in capsys.readouterr().err


def test_what_limits_is_what_most_time_is_lost_in():
    limit, shares = find_limit(input_share=0.0, optimizer_share=0.2, padding=0.5)
    assert limit == "padding"
    assert shares == pytest.approx(
        {"input": 0, "optimizer": 0.2, "padding": 0.4, "compute": 0.4}
    )


def advice(values: dict, shares: dict, **facts: float) -> tuple[str, ...]:
    config = RunConfig.parse({"task": "squad", **values})
    nothing = dict.fromkeys(("input", "optimizer", "padding", "compute"), 0.0)
    given = {"can_pack": False, "has_idle_trunk": False, "keeps_trunk": False}
    given |= {"saved_in_16_bits": 0.0}
    return advise(config, nothing | shares, **given | facts)


@pytest.mark.parametrize(
    ("values", "shares", "first"),
    [
        ({"data": {"batching": "pad"}}, {"padding": 0.5}, "--data.batching bucket"),
        ({"data": {"streaming": True}}, {"input": 0.5}, "--no-data.streaming"),
        ({"optim": {"batch_size": 4}}, {"optimizer": 0.5}, "--optim.batch-size 8"),
        ({}, {"compute": 1.0}, "--method lora"),
    ],
)
def test_the_flag_that_helps_most_comes_first(values, shares, first):
    assert advice(values, shares)[0].startswith(first)


def test_no_flag_is_advised_that_the_run_would_refuse():
    padding = {"padding": 0.5}
    (packs, *_) = advice({}, padding, can_pack=True)
    assert packs.startswith("--data.batching pack")
    assert not any("pack" in text for text in advice({}, padding))
    assert not any(
        "pack" in t for t in advice({}, padding, can_pack=True, keeps_trunk=True)
    )
    frozen = {"method": "last_n", "data": {"batching": "bucket"}}
    (kept,) = advice(frozen, {"compute": 1.0}, has_idle_trunk=True)
    assert kept.startswith("--runtime.trunk-cache")
    for data in ({"batching": "pack"}, {"streaming": True}):
        values = {"method": "last_n", "data": data}
        assert advice(values, {"compute": 1.0}, has_idle_trunk=True) == ()


def test_16_bits_are_advised_where_products_are_faster_in_them():
    lora = {"method": "lora"}
    (faster,) = advice(lora, {"compute": 1.0}, saved_in_16_bits=0.3)
    assert faster.startswith("--runtime.precision mixed_bfloat16")
    assert "30 %" in faster
    assert advice(lora, {"compute": 1.0}, saved_in_16_bits=0.1) == ()
    for precision in ("mixed_bfloat16", "bfloat16"):
        has_them = {**lora, "runtime": {"precision": precision}}
        assert advice(has_them, {"compute": 1.0}, saved_in_16_bits=0.3) == ()


def test_several_devices_are_refused_in_python_too(job):
    with pytest.raises(UserError, match="one device"):
        bench({**job, "runtime": {"strategy": "multiworker"}})
