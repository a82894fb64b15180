"""The page that lies beside an exported model: what it takes, gives, and how to ask."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

_CARD = """\
# {name}

A SavedModel for the task {task}: {takes}, {gives}.
Inputs are cut to {max_input_tokens} tokens{generation}.
{compared}
{weights}

| signature | takes | gives |
|---|---|---|
{signatures}

Serve it, from the folder that holds `models.config`:
```
docker run -p 8500:8500 -p 8501:8501 -v "$PWD:/models" tensorflow/serving \\
  --model_config_file=/models/models.config
```
Ask by REST:
```
curl http://localhost:8501/v1/models/{name}:predict -d \\
  {body}
```
Ask by gRPC (`pip install grpcio tensorflow-serving-api`):
```python
import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

channel = grpc.insecure_channel("localhost:8500")
request = predict_pb2.PredictRequest()
request.model_spec.name = "{name}"
request.model_spec.signature_name = "serving_default"
for field, value in {inputs}.items():
    request.inputs[field].CopyFrom(tf.make_tensor_proto(value{dtype}))
print(prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request))
```
In Python: `import tensorflow_text`, then `tf.saved_model.load(FOLDER)`.

`sha256sum -c SHA256SUMS` checks the files. The first requests, which TensorFlow Serving
sends itself, are in `assets.extra/`.
"""


def serving_card(name: str, facts: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        name: The name the model is served under.
        facts: What export.json holds.
    """
    id_only = facts["id_only"]
    example = {"input_ids": [5, 1], "attention_mask": [1, 1]}
    if not id_only:
        example = {field: text[:200] for field, text in facts["example"].items()}
    generation = ""
    if facts["as_text"]:
        generation = (
            f", answers to {facts['max_new_tokens']}; beams: {facts['num_beams']}"
        )
    return _CARD.format(
        name=name,
        task=facts["task"],
        takes="token ids in" if id_only else "text in",
        gives=_gives(facts),
        max_input_tokens=facts["max_input_tokens"],
        generation=generation,
        compared=_compared(facts),
        weights=_weights(facts["weights"]),
        signatures="\n".join(_signatures(facts)),
        body=shlex.quote(json.dumps({"instances": [example]})),
        inputs=json.dumps({field: [value] for field, value in example.items()}),
        dtype=", tf.int32" if id_only else "",
    )


def _gives(facts: Mapping[str, Any]) -> str:
    if facts["as_text"] and facts["id_only"]:
        return "token ids out"
    if facts["labels"]:
        return f"one of {', '.join(facts['labels'][:8])} out"
    return "a number out" if facts["kind"] == "regression" else "text out"


def _compared(facts: Mapping[str, Any]) -> str:
    if facts["id_only"]:
        return (
            f"It takes ids because {facts['id_only']}; the tokenizer is in "
            "`assets.extra/tokenizer/`.\n"
            f"Checked in a process of its own: {facts['compared']}."
        )
    return f"Checked in a process of its own: {facts['compared']}."


def _weights(facts: Mapping[str, Any] | None) -> str:
    """How weights are stored, and what that does to the metrics."""
    if facts is None:
        return "Its weights are stored and computed with in float32."
    form, metrics = facts["form"], facts["metrics"]
    said = (
        f"Its weights are stored as {form}, {_megabytes(facts['bytes'])} rather than "
        f"{_megabytes(facts['float32_bytes'])}, and computed with in float32."
    )
    if not metrics[form]:
        return said
    rows = (
        f"| {name} | {value:.6g} | {metrics[form][name]:.6g} |"
        for name, value in metrics["float32"].items()
    )
    head = f"On the validation rows:\n\n| metric | float32 | {form} |\n|---|---|---|"
    return "\n".join([said, head, *rows])


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _signatures(facts: Mapping[str, Any]) -> Iterator[str]:
    for name, sides in facts["signatures"].items():
        cells = (", ".join(f"`{one}`" for one in side) for side in sides.values())
        yield f"| `{name}` | {' | '.join(cells)} |"
