"""What `kerastune plan` says before anything is trained."""

import pytest

from kerastune_llm.cli import main
from kerastune_llm.commands.plan import make_plan
from kerastune_llm.config import RunConfig
from kerastune_llm.models.model_config import load_config
from kerastune_llm.registry import METHODS, OPTIMIZERS
from tests.tiny_models import tiny

# flan-t5-base with LoRA of rank 32 on queries and values, by hand: two layers in each
# of 36 attentions, a matrix of 768 x 32 on each side.
DELTA = 36 * 2 * 2 * 768 * 32


def made(model, **values: object):
    config = RunConfig.parse({"task": "custom", "model": str(model), **values})
    return make_plan(config, load_config(config.model))


def test_flan_t5_base_with_lora_from_its_configuration(flan_t5_base, capsys):
    command = ["plan", "--model", str(flan_t5_base), "--method", "lora"]
    assert main([*command, "--method.rank", "32", "--method.alpha", "32"]) == 0
    shown = capsys.readouterr().out
    assert "251,116,800" in shown
    assert "3,538,944" in shown
    assert "1.41" in shown
    assert "4 bytes: 3.69 GiB" in shown


def test_memory_by_the_parameters_and_the_optimizer(flan_t5_base):
    lora = {"name": "lora", "rank": 32, "alpha": 32}
    plan = made(flan_t5_base, method=lora)
    assert plan.parameters.trainable == DELTA == 3_538_944
    need = plan.needs["float32"]
    assert need.weights == 4 * 251_116_800
    assert need.gradients == 4 * DELTA
    assert need.optimizer == 2 * 4 * DELTA  # AdamW keeps two moments.
    assert plan.rule_of_thumb == 16 * 247_577_856
    mixed = plan.needs["mixed_bfloat16"]
    # All but the embeddings of 32128 x 768 are multiplied with.
    assert mixed.copies == 2 * (251_116_800 - 32128 * 768)
    assert mixed.weights == need.weights
    frozen = 251_116_800 - 32128 * 768 - DELTA
    assert plan.needs["bfloat16"].weights == need.weights - 2 * frozen
    assert plan.needs["bfloat16"].copies == 2 * DELTA
    row = need.activations
    assert need.total(8) == need.without_rows + 8 * row
    fits = need.largest_batch(16 * 2**30)
    assert need.total(fits) <= 0.9 * 16 * 2**30 < need.total(fits + 1)


def test_full_training_without_activations_is_the_rule_of_thumb():
    plan = made("minilm", task="cola")
    assert plan.needs["float32"].without_rows == plan.rule_of_thumb
    assert (plan.input_tokens, plan.target_tokens) == (128, 0)


def test_lengths_and_batch_are_the_user_s(flan_t5_base):
    data = {"max_input_tokens": 100, "max_target_tokens": 20}
    plan = made(flan_t5_base, data=data, optim={"batch_size": 3}, method="head")
    assert (plan.batch_size, plan.input_tokens, plan.target_tokens) == (3, 100, 20)
    full = made(flan_t5_base, data=data).needs["float32"]
    assert plan.needs["float32"].activations < full.activations / 10
    assert made("minilm", data={"max_input_tokens": 9999}).input_tokens == 512


@pytest.mark.parametrize("method", METHODS.names())
@pytest.mark.parametrize("name", ["t5-untied", "bert"])
def test_every_method_is_counted_without_weights(method, name, tmp_path):
    head = "lm_head" if name == "t5-untied" else "classifier"
    options = {"train": head} if method == "freeze" else {}
    tiny(name).config.save_pretrained(tmp_path)
    plan = made(tmp_path, method={"name": method, **options}, task="cola")
    need = plan.needs["float32"]
    assert 0 < need.gradients == 4 * plan.parameters.trainable <= need.weights


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_every_optimizer_s_states_are_counted(optimizer):
    need = made("minilm", optim={"name": optimizer}).needs["float32"]
    assert 0 <= need.optimizer <= 2 * need.gradients


def test_a_classifier_s_head_alone_can_be_planned(capsys):
    assert main(["plan", "cola", "--model", "minilm", "--method", "head"]) == 0
    assert "largest batch" in capsys.readouterr().out


def test_rows_in_memory_are_those_of_a_part_of_the_batch():
    optim = {"batch_size": 32, "accumulate_steps": 4}
    plan = made("minilm", optim=optim)
    assert plan.batch_size == 8
    # Their sum is held beside the part's own gradients.
    assert plan.needs["float32"].gradients == 2 * 4 * plan.parameters.trainable


def test_gradual_is_planned_for_its_last_stage():
    gradual, full = made("minilm", method="gradual"), made("minilm", method="full")
    assert gradual.needs == full.needs


def test_wrong_input_is_refused_in_one_message(flan_t5_base, capsys):
    model = ["--model", str(flan_t5_base)]
    assert main(["plan", *model, "--method", "lora", "--method.rank", "0"]) == 2
    assert "rank" in capsys.readouterr().err
    assert main(["plan", *model, "--method", "last_n", "--method.blocks", "99"]) == 2
    assert "has 12 blocks" in capsys.readouterr().err
    assert main(["plan", "squadd", *model]) == 2
    assert "Did you mean squad" in capsys.readouterr().err
