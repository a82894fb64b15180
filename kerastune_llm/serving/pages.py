"""The pages for people: a form for each model, and the API in words.

Nothing on them comes from outside, and their headers let nothing in.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

if TYPE_CHECKING:
    from kerastune_llm.serving.saved_models import SavedVersion

pages = APIRouter(include_in_schema=False)

_FOLDER = files("kerastune_llm.serving") / "page"
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_ADDRESSES = {
    "/": "index.html",
    "/docs": "docs.html",
    "/page/page.css": "page.css",
    "/page/page.js": "page.js",
    "/page/docs.js": "docs.js",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


async def _page(request: Request) -> Response:
    name = _ADDRESSES[request.url.path]
    kind = _TYPES[name.rpartition(".")[2]]
    return Response((_FOLDER / name).read_bytes(), 200, _HEADERS, media_type=kind)


for _address in _ADDRESSES:
    pages.get(_address)(_page)


@pages.get("/page/models")
async def models(request: Request) -> dict[str, Any]:
    """What the forms need to know, the highest version of each model first."""
    served = sorted(
        request.app.state.host.models(), key=lambda model: (model.name, -model.version)
    )
    return {"models": [_described(model) for model in served]}


def _described(model: "SavedVersion") -> dict[str, Any]:
    facts = model.facts
    return {
        "name": model.name,
        "version": model.version,
        "about": " ".join(_about(model)),
        "fields": [] if facts["id_only"] else facts["fields"],
        "answer": facts["answer"],
        "examples": list(model.examples),
    }


def _about(model: "SavedVersion") -> Iterator[str]:
    facts = model.facts
    yield f"Version {model.version} of a model for the task {facts['task']}."
    if facts["id_only"]:
        yield f"It takes token ids only, because {facts['id_only']}; ask it by the API."
    else:
        yield f"Longer texts are cut to {facts['max_input_tokens']} tokens."
