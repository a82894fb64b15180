"""The REST API's JSON, as TensorFlow Serving's json_tensor.cc reads and writes it."""

import json

import numpy as np
import pytest

from kerastune_llm.serving.rest import (
    InputSpec,
    RequestError,
    as_rows,
    predict_answer,
    read_classify,
    read_predict,
)

TEXT = InputSpec("string", 1)
PAIR = {"one": TEXT, "two": TEXT}
IDS = {"input_ids": InputSpec("int32", 2)}


def read(document, inputs=PAIR):
    return read_predict(json.dumps(document).encode(), lambda name: inputs)


def test_rows_and_columns_are_the_same_request():
    rows = read({"instances": [{"one": "a", "two": "é"}, {"two": "", "one": "b"}]})
    columns = read({"inputs": {"one": ["a", "b"], "two": ["é", ""]}})
    assert rows.by_row and not columns.by_row
    for request in (rows, columns):
        assert request.rows == 2 and request.signature == "serving_default"
        assert request.columns["one"].tolist() == [b"a", b"b"]
        assert request.columns["two"].tolist() == ["é".encode(), b""]


def test_a_single_input_needs_no_name():
    for document in ({"instances": [[5, 1], [6, 1]]}, {"inputs": [[5, 1], [6, 1]]}):
        ids = read(document, IDS).columns["input_ids"]
        assert ids.dtype == np.int32 and ids.tolist() == [[5, 1], [6, 1]]


def test_texts_may_come_in_base_64():
    request = read({"instances": [{"b64": "YcOp"}, "b"]}, {"text": TEXT})
    assert request.columns["text"].tolist() == ["aé".encode(), b"b"]


def test_the_signature_is_asked_for_its_inputs():
    request = read_predict(
        b'{"signature_name": "from_ids", "instances": [[1]]}',
        lambda name: {"from_ids": IDS}[name],
    )
    assert request.signature == "from_ids"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error"),
        (b"{", "JSON Parse error"),
        (b'{"instances": ["\xff"]}', "JSON Parse error"),
        (b"[" * 100_000, "JSON Parse error"),
        (b"[1]", "Is not object"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"instances": [], "inputs": []}', "only one of"),
        (b'{"instances": {}}', "list that is not empty"),
        (b'{"instances": []}', "list that is not empty"),
        (b'{"instances": ["a"]}', "element: 0 .* keys are: one,two"),
        (b'{"instances": [{"one": "a"}]}', "keys are: one,two"),
        (b'{"instances": [{"one": "a", "two": 3}]}', "two: .* type string"),
        (b'{"instances": [{"one": "a", "two": null}]}', "two: .* type string"),
        (b'{"instances": [{"one": "a", "two": "\\ud800"}]}', "two: not UTF-8"),
        (b'{"instances": [{"one": "a", "two": {"b64": "/w=="}}]}', "two: not UTF-8"),
        (b'{"instances": [{"one": "a", "two": {"b64": 1}}]}', "two: not UTF-8"),
        (b'{"inputs": ["a"]}', "plain value/list"),
        (b'{"inputs": {"one": ["a"], "three": ["b"]}}', "exactly: one,two"),
        (b'{"inputs": {"one": ["a"], "two": ["b", "c"]}}', "numbers of rows"),
        (b'{"inputs": {"one": "a", "two": "b"}}', "one: expecting a list"),
        (b'{"signature_name": 1, "instances": ["a"]}', "to be a string"),
        (b'{"signature_name": null, "instances": ["a"]}', "to be a string"),
    ],
)
def test_what_is_not_of_the_form_is_refused(body, message):
    with pytest.raises(RequestError, match=message) as refused:
        read_predict(body, lambda name: PAIR)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "rows", [[[1], [1, 2]], [1, 2], [["1"]], [[True]], [[2**31]], [[[1]]], [[1.0]]]
)
def test_ids_are_whole_numbers_in_lists_of_one_length(rows):
    with pytest.raises(RequestError, match="input_ids"):
        read({"instances": rows}, IDS)


def test_classify_takes_a_context_for_all_examples():
    body = {"context": {"one": "a"}, "examples": [{"two": "b"}, {"two": "c"}]}
    request = read_classify(json.dumps(body).encode(), lambda name: PAIR)
    assert request.columns["one"].tolist() == [b"a", b"a"]
    assert request.columns["two"].tolist() == [b"b", b"c"]


@pytest.mark.parametrize("body", [{}, {"examples": "a"}, {"examples": ["a"]}])
def test_classify_wants_a_list_of_objects(body):
    with pytest.raises(RequestError) as refused:
        read_classify(json.dumps(body).encode(), lambda name: PAIR)
    assert refused.value.status == 400


def test_answers_by_row_and_by_column():
    rows = as_rows({"a": np.array([b"x", b"y"], object), "s": np.float32([0.1, 0.7])})
    by_row = {"predictions": [{"a": "x", "s": 0.1}, {"a": "y", "s": 0.7}]}
    assert predict_answer(rows, by_row=True) == by_row
    by_column = {"outputs": {"a": ["x", "y"], "s": [0.1, 0.7]}}
    assert predict_answer(rows, by_row=False) == by_column
    assert predict_answer({"a": ["x"]}, by_row=True) == {"predictions": ["x"]}
