"""What a search may search, and what is refused before anything runs."""

import sys

import pytest

from kerastune_llm.cli import main
from kerastune_llm.commands.tune_space import default_space, parse_space
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from kerastune_llm.registry import METHODS


def test_without_optuna_the_command_to_install_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune", "cola", "--output", str(tmp_path / "x")]) == 2
    assert 'pip install "optuna' in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def config(method: str, **values) -> RunConfig:
    return RunConfig.parse({"task": "cola", "method": method, **values})


@pytest.mark.parametrize("method", sorted(set(METHODS.names()) - {"freeze"}))
def test_every_method_has_a_space_that_its_runs_take(method):
    names = [dimension.name for dimension in parse_space((), config(method))]
    assert names[:2] == ["optim.learning_rate", "optim.warmup"]


def test_what_is_given_is_not_searched():
    given = config("full", optim={"learning_rate": 1e-4})
    assert default_space(given) == ["optim.warmup=0|0.06|0.1"]
    lora = RunConfig.parse({"task": "cola", "method": {"name": "lora", "rank": 2}})
    assert not [part for part in default_space(lora) if "rank" in part]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("optim.warmup", "a flag and its values"),
        ("optim.warmup=0.1", "a flag and its values"),
        ("optim.warmup=low..high", "a flag and its values"),
        ("method.rank=4|", "a flag and its values"),
        ("method.rank=4|4", "a flag and its values"),
        ("warmup=0|1", "a flag and its values"),
        ("optim.warmup=0.2..0.1", "goes up"),
        ("optim.learning-rate=log:0..1", "above 0"),
        ("optim.learning-rat=1e-5..1e-3", "Did you mean optim.learning-rate"),
        ("method.blocks=1|2", "Unknown flag of --space"),
        ("data.train=a.csv|b.csv", "Unknown flag of --space"),
        ("method.name=lora|ia3", "Unknown flag of --space"),
        ("method.rank=0|4", "rank=0"),
        ("method.rank=0.5..4", "method.rank=0.5"),
        ("optim.name=adamw|adamx", "optim.name=adamx"),
    ],
)
def test_what_is_refused(part, message):
    with pytest.raises(UserError) as caught:
        parse_space([part], config("lora"))
    assert message in str(caught.value)


def test_all_problems_at_once():
    with pytest.raises(UserError, match="3 problems"):
        parse_space(
            ["method.rank=4|8", "method.rank=2|4", "optim.x=1|2", "optim.epochs=0..2"],
            config("lora"),
        )
