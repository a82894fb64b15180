"""What the API says of itself in `/openapi.json`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from kerastune_llm.serving.keys import OPEN_PATHS

if TYPE_CHECKING:
    from fastapi import FastAPI

Json = dict[str, Any]

_WHEN = {
    400: "The request is not of this form, or not for this model.",
    401: "No API key, or a wrong one.",
    404: "No such model, version or address.",
    405: "Not by this method.",
    408: "The body did not come within the deadline.",
    413: "The body is too long, or has more rows than may ever wait.",
    500: "The model failed; the server's log says how.",
    503: "Too many requests wait, or the models are not warm yet: ask again later.",
    504: "The answer was not ready within the deadline.",
}
_LATER = {
    "Retry-After": {
        "description": "Seconds after which to ask again.",
        "schema": {"type": "integer"},
    }
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
    "additionalProperties": False,
}
_TEXT = {"type": "string"}
_ROWS = {"type": "array", "minItems": 1}
_OBJECT = {"type": "object"}


def _refusal(status: int) -> Json:
    refusal = {
        "description": _WHEN[status],
        "content": {"application/json": {"schema": _ERROR}},
    }
    return refusal | ({"headers": _LATER} if status == 503 else {})


def answers(*statuses: int) -> dict[int | str, Json]:
    """The refusals of an operation, as FastAPI takes them; 405 and 500 are everyone's.

    >>> sorted(answers(404))
    [404, 405, 500]
    """
    return {status: _refusal(status) for status in (*statuses, 405, 500)}


ASKED = answers(400, 404, 408, 413, 503, 504)


def _body(properties: Json, examples: Json, **rules: list[Any]) -> Json:
    """What an operation takes: a JSON object; other keys of it are not looked at."""
    fields = {"signature_name": _TEXT, **properties}
    content = {
        "schema": {"type": "object", "properties": fields, **rules},
        "examples": {name: {"value": value} for name, value in examples.items()},
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


PREDICT = _body(
    {"instances": _ROWS, "inputs": {"anyOf": [_ROWS, _OBJECT]}},
    {
        "by row": {"instances": [{"sentence": "Dogs bark."}]},
        "by column": {"inputs": {"sentence": ["Dogs bark."]}},
    },
    oneOf=[{"required": ["instances"]}, {"required": ["inputs"]}],
)
CLASSIFY = _body(
    {"examples": {**_ROWS, "items": _OBJECT}, "context": _OBJECT},
    {"by row": {"examples": [{"sentence": "Dogs bark."}]}},
    required=["examples"],
)


def description(app: "FastAPI", names: Sequence[str], has_keys: bool) -> Json:
    """The OpenAPI document of a server.

    Args:
        app: The application.
        names: The models that there are.
        has_keys: Whether requests must carry an API key.
    """
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            # Every parameter is a text that the path has matched.
            operation["responses"].pop("422", None)
            operation["responses"]["200"]["description"] = "The answer."
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _parameter(parameter["name"], names)
            if has_keys and path not in OPEN_PATHS:
                operation["responses"]["401"] = _refusal(401)
                operation["security"] = [{"bearer": []}, {"header": []}]
    document["components"] = {}
    if has_keys:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    return document


def _parameter(name: str, names: Sequence[str]) -> Json:
    if name == "name":
        return {"type": "string", "enum": sorted(set(names))}
    return {"type": "string", "pattern": "^[0-9]{1,18}$"}
