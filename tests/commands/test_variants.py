"""The methods of a comparison, as they are written on the command line."""

import pytest

from kerastune_llm.commands.variants import (
    parse_learning_rates,
    parse_variants,
    short_labels,
)
from kerastune_llm.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("full", [("full", {})]),
        ("full, lora ,head", [("full", {}), ("lora", {}), ("head", {})]),
        (
            "lora,lora:rank=32,alpha=32,head",
            [("lora", {}), ("lora", {"rank": "32", "alpha": "32"}), ("head", {})],
        ),
        (
            "lora:target_modules=q,v,rank=4,full",
            [("lora", {"target_modules": "q,v", "rank": "4"}), ("full", {})],
        ),
    ],
)
def test_methods_and_their_options(text, expected):
    found = [(variant.method, variant.options) for variant in parse_variants(text)]
    assert found == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--methods must name the methods"),
        ("ful", "Did you mean full"),
        ("full,rank=4", "Unknown method"),
        ("lroa:rank=4", "Did you mean lora"),
        ("lora:rank", "no option of a method"),
        ("lora:rnk=4", "lora:rnk=4: The method lora has no option rnk"),
        ("lora:rank=four", "--method.rank"),
        ("lora,full,lora", "names a method twice"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_variants(text)


def test_all_problems_at_once():
    with pytest.raises(UserError) as caught:
        parse_variants("ful,lora:rnk=4,last_n:blocks=0")
    assert "3 problems" in str(caught.value)


def test_folder_names_differ_where_options_do():
    variants = parse_variants("lora,lora:rank=4,lora:rank=8,lora:target_modules=q,v")
    slugs = {variant.slug for variant in variants}
    assert len(slugs) == 4
    assert not any(set(slug) & set("/:, ") for slug in slugs)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("lora:rank=8,alpha=8,target_modules=q,v,full", ["lora", "full"]),
        ("lora,lora:rank=8", ["lora", "lora:rank=8"]),
        (
            "lora:rank=4,alpha=8,target_modules=q,lora:rank=4,alpha=8,target_modules=v",
            ["lora:target_modules=q", "lora:target_modules=v"],
        ),
        # Each of two options alone is alike in two of the three.
        (
            "lora:rank=4,alpha=8,lora:rank=4,alpha=9,lora:rank=5,alpha=8",
            ["lora:rank=4,alpha=8", "lora:rank=4,alpha=9", "lora:rank=5,alpha=8"],
        ),
    ],
)
def test_short_names_tell_the_options_that_differ(text, names):
    variants = parse_variants(text)
    short = short_labels(variants)
    assert list(short) == [variant.label for variant in variants]
    assert list(short.values()) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lora=fast", "positive number"),
        ("lora=-1", "positive number"),
        ("lora=nan", "positive number"),
        ("lora", "positive number"),
        ("lora=x,full=y", "2 problems"),
    ],
)
def test_learning_rates_that_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_learning_rates(text)
