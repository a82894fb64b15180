"""The job that a configuration describes."""

import logging

import pytest

from kerastune_llm.commands.job import (
    assemble,
    data_source,
    with_bundled_settings,
    with_learning_rate,
)
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError


def job(**values):
    return assemble(RunConfig.parse(values))


def test_labels_written_as_text_are_never_cut():
    found = job(task="cola")
    assert found.as_text
    longest = max(found.tokenizer(list(found.task.labels)).input_ids, key=len)
    assert found.max_target_tokens == len(longest)


def test_an_encoder_gets_a_head_and_a_t5_writes():
    assert job(task="cola", model="minilm").model_kind == "classification"
    assert job(task="cola").model_kind == "seq2seq"


def test_the_task_s_length_gives_way_to_the_model_s_positions():
    found = job(task={"name": "squad"}, data={"max_input_tokens": 2000})
    assert found.max_input_tokens == 2000  # T5 has no table of positions
    with pytest.raises(UserError, match="at most 512 tokens"):
        job(task="cola", model="minilm", data={"max_input_tokens": 513})


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_virtual_tokens_take_positions_of_the_input(method):
    values = {"task": "cola", "model": "minilm", "method": {"name": method}}
    assert job(**values, data={"max_input_tokens": 492}).max_input_tokens == 492
    with pytest.raises(UserError, match="at most 492 tokens"):
        job(**values, data={"max_input_tokens": 493})


@pytest.mark.parametrize("method", ["full", "lora", "adapter", "gradual"])
def test_a_t5_packs(method):
    found = job(task="cola", method=method, data={"batching": "pack"})
    assert found.config.data.batching == "pack"


@pytest.mark.parametrize(
    ("values", "received"),
    [
        ({"model": "minilm"}, "bert with --method full"),
        ({"method": "prefix"}, "t5 with --method prefix"),
        ({"method": "prompt"}, "t5 with --method prompt"),
    ],
)
def test_what_cannot_be_packed(values, received):
    with pytest.raises(UserError) as caught:
        job(task="cola", **values, data={"batching": "pack"})
    message = str(caught.value)
    assert "t5 or mt5, and any method but prefix and prompt" in message
    assert f"Received: {received}" in message
    assert "--data.batching bucket" in message


@pytest.mark.parametrize(
    ("values", "source"),
    [
        ({}, "sample"),
        ({"model": "minilm"}, "sample"),
        ({"model": "google/flan-t5-small"}, "hub"),
        ({"data": {"train": "rows.jsonl"}}, "files"),
        ({"data": {"source": "hub"}}, "hub"),
    ],
)
def test_where_rows_come_from(values, source):
    assert data_source(RunConfig.parse({"task": "squad", **values})) == source


def test_settings_of_a_bundled_model_yield_to_the_user_s():
    config = RunConfig.parse({"task": "squad", "optim": {"learning_rate": 3e-4}})
    settled = with_bundled_settings(config)
    assert settled.optim.learning_rate == 3e-4
    assert settled.optim.batch_size == 32
    other = RunConfig.parse({"task": "squad", "model": "google/flan-t5-small"})
    assert with_bundled_settings(other) == other


@pytest.mark.parametrize(
    ("values", "rate", "origin"),
    [
        ({"model": "google/flan-t5-small"}, 5e-5, "the default"),
        ({}, 1e-3, "the bundled starter's"),
        ({"method": "gradual"}, 1e-3, "the bundled starter's"),
        ({"method": "lora"}, 3e-3, "the bundled starter's"),
        ({"method": "lora", "model": "minilm"}, 1e-3, "the default of the method lora"),
        ({"method": "ia3"}, 3e-3, "the default of the method ia3"),
        ({"method": "ia3", "optim": {"learning_rate": 0.1}}, 0.1, "as given"),
    ],
)
def test_a_learning_rate_and_where_it_comes_from(values, rate, origin, caplog):
    config = RunConfig.parse({"task": "squad", **values})
    with caplog.at_level(logging.INFO):
        settled = with_learning_rate(with_bundled_settings(config))
    assert settled.optim.learning_rate == rate
    assert caplog.messages[-1] == f"learning rate {rate:g}: {origin}"
