"""Every recipe is a configuration, and runs on a tiny model and sample rows."""

from pathlib import Path

import pytest

import kerastune_llm
from kerastune_llm.cli import main
from kerastune_llm.config import RunConfig, merge, read_config_file
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.recipes import read_recipe, recipe_names
from kerastune_llm.tasks.task import get_task
from tests.tiny_models import tiny
from tests.tiny_tokenizers import fast_tokenizer

# The settings the issue and the guides behind the recipes name.
SETTINGS = {
    "squad-flan-t5-large-final-layer": ("head", 8, 3e-5, 3),
    "squad-flan-t5-lora": ("lora", 16, 1e-3, 3),
    "xsum-t5-small": ("full", 16, 2e-5, 1),
    "tags-t5-small": ("full", 48, 1e-4, 10),
    "closed-book-t5": ("full", 128, 1e-3, 3),
    "cola-distilbert": ("full", 16, 2e-5, 5),
    "dialogsum-flan-t5-base-lora": ("lora", 8, 1e-3, 10),
    "imdb-bert": ("full", 8, 2e-5, 3),
}


def recipe(name):
    return Path(f"recipe:{name}")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_model(tiny("bert"), fast_tokenizer(), folder)
    return folder


@pytest.mark.parametrize("name", recipe_names())
def test_recipe_is_a_configuration_with_a_source(name):
    found = read_recipe(name)
    assert found.source and found.expected and found.summary
    config = RunConfig.parse(read_config_file(recipe(name)))
    optim = config.optim
    values = (config.method.name, optim.batch_size, optim.learning_rate, optim.epochs)
    assert values == SETTINGS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_recipe_runs(name, encoder, tmp_path):
    values = read_config_file(recipe(name))
    has_head = "bert" in values["model"]
    changes = {
        "model": str(encoder) if has_head else "starter",
        "data": {
            "source": "sample",
            "max_train_samples": 32,
            "max_validation_samples": 8,
            "max_input_tokens": 60,
            "num_proc": 1,
        },
        "optim": {"max_steps": 2, "batch_size": 8},
        "output": tmp_path / "run",
    }
    result = kerastune_llm.train(merge(values, changes))
    assert get_task(RunConfig.parse(values).task.name).best_metric in result.metrics


def test_flags_are_laid_over_a_recipe(capsys):
    # Refused for the flag's value alone: everything else comes from the recipe.
    flags = ["--config", "recipe:cola-distilbert", "--optim.epochs", "0"]
    assert main(["train", *flags]) == 2
    error = capsys.readouterr().err
    assert "--optim.epochs" in error and "problems" not in error


def test_an_unknown_recipe_names_the_nearest(capsys):
    assert main(["train", "--config", "recipe:cola-distillbert"]) == 2
    assert "Did you mean cola-distilbert" in capsys.readouterr().err


def test_list_shows_source_and_score(capsys):
    assert main(["list", "recipes"]) == 0
    shown = capsys.readouterr().out
    for name in recipe_names():
        found = read_recipe(name)
        assert name in shown and found.source in shown and found.expected in shown
