"""Every registered method keeps the contract, and strings become methods."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kerastune_llm.errors import UserError
from kerastune_llm.methods.freezing import Freeze, LastN
from kerastune_llm.methods.method import make_method, method_fields
from kerastune_llm.registry import METHODS


@pytest.mark.parametrize("name", METHODS.names())
def test_contract(name):
    method = METHODS.get(name)
    assert dataclasses.is_dataclass(method)
    assert method.__dataclass_params__.frozen
    assert isinstance(method.trainable_names, Callable)
    assert method.__doc__
    for field in method_fields(name):
        assert field.help.endswith("."), f"{field.name} is not under Args:"


def test_listing_the_methods_imports_no_tensorflow():
    code = (
        "import sys; from kerastune_llm.registry import METHODS; METHODS.names(); "
        "from kerastune_llm.methods.method import make_method; "
        "make_method('last_n', {}); "
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'transformers')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_strings_are_converted_to_the_fields_types():
    assert make_method("last_n", {"blocks": "3"}) == LastN(blocks=3)
    assert make_method("last_n", {}) == LastN(blocks=2)
    patterns = make_method("freeze", {"train": "decoder.block.3.*, lm_head"})
    assert patterns == Freeze(train=("decoder.block.3.*", "lm_head"))
    assert make_method("freeze", {"train": ["lm_head"]}) == Freeze(train=("lm_head",))


def test_fields_for_help():
    (field,) = method_fields("freeze")
    assert (field.name, field.type) == ("train", tuple[str, ...])
    assert field.default is dataclasses.MISSING
    assert "comma-separated, such as" in field.help


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("last-n", {}, "Did you mean last_n"),
        ("last_n", {"block": 2}, "Did you mean --method.blocks"),
        ("full", {"rank": 8}, "Accepted: no options"),
        ("last_n", {"blocks": "two"}, "valid integer.*\n.*\n.*Received: two"),
        ("last_n", {"blocks": 0}, "at least one block.*\n.*\n.*Received: blocks=0"),
        ("freeze", {}, "needs --method.train"),
        ("freeze", {"train": ""}, "at least one pattern"),
        ("freeze", {"train": 7}, "valid tuple"),
    ],
)
def test_refusals(name, options, message):
    with pytest.raises(UserError, match=message):
        make_method(name, options)


def test_all_problems_are_reported_together():
    with pytest.raises(UserError) as problem:
        make_method("last_n", {"blocks": "x", "rank": 1})
    assert "2 problems" in str(problem.value)


def test_a_string_of_patterns_is_not_a_tuple_of_letters():
    with pytest.raises(UserError, match="tuple"):
        Freeze(train="lm_head")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("replicas", "precision", "methods"),
    [
        (4, "float32", ["full", "lora"]),
        # Every replica is traced, so that four take twice as long.
        (2, "mixed_bfloat16", METHODS.names()),
        (2, "bfloat16", ["lora"]),
    ],
)
def test_replicas_train_one_method_after_the_other(replicas, precision, methods):
    script = Path(__file__).with_name("mirrored_methods.py")
    done = subprocess.run(
        [sys.executable, script, str(replicas), precision, *methods],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    for name in methods:
        assert f"| {name} | {precision} | {replicas} |" in done.stdout
