"""How throughput should grow with the replicas, against sums made by hand."""

import pytest

from kerastune_llm.cli import main
from kerastune_llm.commands.plan import make_plan
from kerastune_llm.commands.plan_replicas import Machines, one_update
from kerastune_llm.config import RunConfig
from kerastune_llm.models.model_config import load_config
from kerastune_llm.training.scaling import Link, Update
from tests.tiny_models import tiny

# Matrices of flan-t5-base: four of 768 x 768 in an attention, three of 768 x 2048 in a
# feed-forward layer; keys and values of the decoder's second attention apart, which
# are made of the input.
SQUARE, WIDE, HEAD = 768 * 768, 768 * 2048, 32128 * 768
OF_INPUT = 12 * (4 * SQUARE + 3 * WIDE) + 12 * 2 * SQUARE
OF_TARGET = 12 * (6 * SQUARE + 3 * WIDE) + HEAD
INPUT, TARGET = 512, 64
# Scores and weighted values of 12 heads, 768 wide together, of 12 layers in each of the
# three kinds of attention: 2 operations each for every pair of tokens, forward.
PAIRS = INPUT * INPUT + TARGET * TARGET + TARGET * INPUT
ATTENTION = 12 * 2 * 2 * 768 * PAIRS


def made(model, **values):
    data = {"max_input_tokens": INPUT, "max_target_tokens": TARGET}
    values = {"task": "custom", "model": str(model), "data": data, **values}
    return make_plan(RunConfig.parse(values), load_config(str(model)))


def test_full_training_of_flan_t5_base(flan_t5_base):
    plan = made(flan_t5_base)
    matrices = OF_INPUT * INPUT + OF_TARGET * TARGET
    assert plan.operations == 6 * matrices + 3 * ATTENTION
    update = one_update(plan, 8, Machines(teraflops=50.0))
    assert update.gradient_bytes == 247_577_856 * 4 == 990_311_424
    assert update.seconds == pytest.approx(8 * plan.operations / 50e12)


def test_lora_leaves_out_the_gradients_of_the_base(flan_t5_base):
    plan = made(flan_t5_base, method={"name": "lora", "rank": 32, "alpha": 32})
    # Two matrices of 768 x 32 at each query and value; the values of the decoder's
    # second attention are made of the input.
    added = 12 * 2 * 768 * 32 * ((INPUT + TARGET + TARGET) + (INPUT + TARGET + INPUT))
    base = OF_INPUT * INPUT + OF_TARGET * TARGET
    assert plan.operations == 4 * base + 6 * added + 3 * ATTENTION
    update = one_update(plan, 8, Machines())
    assert update.gradient_bytes == 3_538_944 * 4 == 14_155_776


def test_a_stage_that_comes_later_is_counted(flan_t5_base):
    assert made(flan_t5_base, method="gradual").operations == (
        made(flan_t5_base).operations
    )


def test_a_head_alone_needs_no_backward_pass(tmp_path):
    tiny("bert").config.save_pretrained(tmp_path)
    plan = made(tmp_path, task="cola", method="head")
    # Two blocks: four matrices of 16 x 16, two of 16 x 32, and the attention of all
    # tokens to all; of a row, the pooler of 16 x 16 and the head of 3 x 16.
    tokens = plan.input_tokens
    matrices = 2 * 2 * (4 * 16 * 16 + 2 * 16 * 32) * tokens
    attention = 2 * 4 * 16 * tokens * tokens
    assert plan.operations == matrices + attention + 2 * 16 * 16 + 4 * 3 * 16


def test_the_sum_takes_what_a_ring_takes():
    full = Update(gradient_bytes=990_311_424, seconds=0.1, rows=8)
    fast = Link(bytes_per_second=12.5e9, latency=0.0)
    # 2 x 7 / 8 of 0.99 GB at 12.5 GB/s.
    assert full.sum_seconds(8, fast) == pytest.approx(0.13864, rel=1e-4)
    assert full.efficiency(8, fast) == pytest.approx(0.1 / 0.23864, rel=1e-4)
    assert full.rows_per_second(8, fast) == pytest.approx(64 / 0.23864, rel=1e-4)
    assert full.efficiency(1, fast) == 1.0
    # Six messages go round twice, but for the last step: 6 x 2 x 255 x 10 us.
    slow = Link(bytes_per_second=1e30, latency=10e-6)
    assert full.sum_seconds(256, slow) == pytest.approx(0.0306)


def test_where_it_stops_growing():
    update = Update(gradient_bytes=0, seconds=0.012, rows=1)
    # As long as the computing: 12 (n - 1) x 10 us = 12 ms at n = 101.
    assert update.largest(0.5, Link(1.0, 10e-6)) in (100, 101)
    assert update.largest(0.5, Link(1.0, 1e-15)) is None
    assert Update(10**12, 0.01, 1).largest(0.5, Link(1e9, 0.0)) == 1


def test_the_command_says_that_it_is_on_paper(flan_t5_base, capsys):
    command = ["plan", "--model", str(flan_t5_base), "--method", "lora"]
    command += ["--replicas", "1,256", "--link-gbps", "10", "--optim.batch-size", "4"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "full: 990.311 MB of gradients" in shown
    assert "lora: 3.539 MB of gradients" in shown  # of rank 8, a quarter of 32
    assert "1,024" in shown and "10 Gbit/s" in shown
    assert "On paper, none of it measured" in shown


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--replicas 1,x", "How many replicas?"),
        ("--replicas 0", "How many replicas?"),
        ("--replicas 8 --link-gbps 0", "must be positive"),
        ("--replicas 8 --device-tflops nan", "must be positive"),
    ],
)
def test_refusals(flags, message, capsys):
    assert main(["plan", "cola", "--model", "minilm", *flags.split()]) == 2
    assert message in capsys.readouterr().err
