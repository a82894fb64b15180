"""Models that answer without TensorFlow, for what lies between the socket and them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kerastune_llm.serving.rest import Columns, InputSpec, RequestError, Rows


@dataclass(frozen=True)
class StubModel:
    """Answers every row with `row`."""

    name: str
    facts: dict[str, Any]
    row: dict[str, Any]
    examples: list[dict[str, str]] = field(default_factory=list)
    version: int = 1
    classifies: bool = False
    definitions: dict[str, Any] = field(default_factory=dict)

    def inputs(self, signature: str) -> dict[str, InputSpec]:
        if signature != "serving_default":
            raise RequestError(400, f'"{signature}" not found in signature def')
        return {name: InputSpec("string", 1) for name in self.facts["fields"]}

    def may_share(self, signature: str) -> bool:
        return True

    def answer(self, signature: str, columns: Columns) -> Rows:
        rows = len(next(iter(columns.values())))
        return {name: [value] * rows for name, value in self.row.items()}

    def example(self, rows: int) -> Columns:
        return dict.fromkeys(self.facts["fields"], np.array([b""] * rows, object))


def facts(task: str, fields: list[str], answer: str) -> dict[str, Any]:
    return {
        "task": task,
        "fields": fields,
        "answer": answer,
        "id_only": "",
        "max_input_tokens": 64,
    }


LABELS = [f"label {number}" for number in range(12)]
PROBABILITIES = [0.01] * 10 + [0.7, 0.2]
CLASSIFIER = StubModel(
    "cola",
    facts("cola", ["sentence"], "probabilities"),
    {
        "label": "label 10",
        "index": 10,
        "score": 0.7,
        "probabilities": PROBABILITIES,
        "labels": LABELS,
    },
    [{"sentence": "Dogs bark."}, {"sentence": "Bark the dogs."}],
    classifies=True,
)
READER = StubModel(
    "squad",
    facts("squad", ["question", "context"], "answer"),
    {"answer": "<b>Oslo</b>", "score": 0.25},
    [{"question": "Who lives in Oslo?", "context": "Ana lives in Oslo."}],
)
NUMBER = StubModel("stsb", facts("stsb", ["one"], "value"), {"value": 2.5})
TAGS = StubModel(
    "tags",
    facts("tags", ["title"], "probabilities"),
    {
        "labels": ["php", "sql", "c"],
        "probabilities": [0.9, 0.8, 0.1],
        "chosen": [True, True, False],
    },
)
