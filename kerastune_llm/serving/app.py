"""The web application: TensorFlow Serving's REST API over models that are loaded."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from kerastune_llm import __version__
from kerastune_llm.serving.batching import QueueClosed
from kerastune_llm.serving.hosting import Host
from kerastune_llm.serving.keys import KeyGuard
from kerastune_llm.serving.openapi import (
    ASKED,
    CLASSIFY,
    PREDICT,
    answers,
    description,
)
from kerastune_llm.serving.pages import pages
from kerastune_llm.serving.rest import (
    Inputs,
    ModelRequest,
    RequestError,
    Rows,
    classify_answer,
    joined,
    predict_answer,
    read_classify,
    read_predict,
)
from kerastune_llm.serving.settings import Limits
from kerastune_llm.serving.telemetry import Metrics, Watched

logger = logging.getLogger(__name__)

router = APIRouter()


class Word(StringConvertor):
    """A part of an address without a colon."""

    regex = "[^/:]+"


# Without a colon: else a model's address would be that of its `:predict`, too.
register_url_convertor("word", Word())
_MODEL = "/v1/models/{name:word}"
_VERSION = _MODEL + "/versions/{version:word}"

Read = Callable[[bytes, Callable[[str], Inputs]], ModelRequest]


def make_app(
    host: Host, metrics: Metrics, *, limits: Limits, keys: Sequence[str] = ()
) -> FastAPI:
    """The application; its models warm up when it starts and drain when it ends.

    Args:
        host: The models.
        metrics: What `/metrics` shows.
        limits: What a single request may cost.
        keys: API keys, one of which every request must carry; none: all may ask.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(asyncio.to_thread(host.warm_up))
        yield
        await warming
        await asyncio.to_thread(host.close)

    # FastAPI's own page of documentation takes its scripts from outside.
    app = FastAPI(
        title="kerastune serve",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.host, app.state.limits, app.state.metrics = host, limits, metrics
    app.include_router(router)
    app.include_router(pages)
    app.openapi = lambda: description(app, [m.name for m in host.models()], bool(keys))
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _failed)
    if keys:
        app.add_middleware(KeyGuard, keys=keys)
    app.add_middleware(Watched, metrics=metrics)
    return app


@router.get("/healthz", responses=answers())
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses=answers(503))
async def readyz(request: Request) -> dict[str, str]:
    """All models are loaded and warm."""
    problem = request.app.state.host.not_ready()
    if problem:
        raise RequestError(503, problem, retry_after=1)
    return {"status": "ready"}


@router.get("/metrics", response_class=PlainTextResponse, responses=answers())
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    text = request.app.state.metrics.text()
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


@router.get(_MODEL, responses=answers(404))
@router.get(_VERSION, responses=answers(404))
async def status(
    request: Request, name: str, version: str | None = None
) -> dict[str, Any]:
    """The versions of a model."""
    found = request.app.state.host.versions(name, version)
    return {
        "model_version_status": [
            {
                "version": str(hosted.model.version),
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
            for hosted in found
        ]
    }


@router.get(_MODEL + "/metadata", responses=answers(404))
@router.get(_VERSION + "/metadata", responses=answers(404))
async def metadata(
    request: Request, name: str, version: str | None = None
) -> dict[str, Any]:
    """The signatures of a model."""
    model = request.app.state.host.find(name, version).model
    return {
        "model_spec": {
            "name": name,
            "signature_name": "",
            "version": str(model.version),
        },
        "metadata": {"signature_def": {"signature_def": dict(model.definitions)}},
    }


@router.post(_MODEL + ":predict", responses=ASKED, openapi_extra=PREDICT)
@router.post(_VERSION + ":predict", responses=ASKED, openapi_extra=PREDICT)
async def predict(
    request: Request, name: str, version: str | None = None
) -> JSONResponse:
    """Answers to `instances` or `inputs`."""
    request.app.state.host.find(name, version)  # refused before its body is read
    asked, rows = await _ask(request, name, version, read_predict)
    return JSONResponse(predict_answer(rows, by_row=asked.by_row))


@router.post(_MODEL + ":classify", responses=ASKED, openapi_extra=CLASSIFY)
@router.post(_VERSION + ":classify", responses=ASKED, openapi_extra=CLASSIFY)
async def classify(
    request: Request, name: str, version: str | None = None
) -> JSONResponse:
    """Every label of `examples` with its probability."""
    hosted = request.app.state.host.find(name, version)
    if not hosted.model.classifies:
        raise RequestError(400, f"{name} does not classify; ask it by :predict")
    _, rows = await _ask(request, name, version, read_classify)
    return JSONResponse(classify_answer(rows))


async def _ask(
    request: Request, name: str, version: str | None, read: Read
) -> tuple[ModelRequest, Rows]:
    limits = request.app.state.limits
    body = await _body(request, limits)
    asked, futures = _submit(request.app.state.host, name, version, body, read)
    request.state.rows = asked.rows
    try:
        async with asyncio.timeout(limits.deadline_seconds):
            parts = await asyncio.gather(*map(asyncio.wrap_future, futures))
    except TimeoutError as error:
        raise RequestError(504, "The deadline has passed") from error
    return asked, joined(parts)


def _submit(
    host: Host, name: str, version: str | None, body: bytes, read: Read
) -> tuple[ModelRequest, list[Future]]:
    """Queue what a body asks; where its version is just dropped, at the next one."""
    hosted = host.find(name, version)
    asked = read(body, hosted.model.inputs)
    try:
        return asked, hosted.submit(asked)
    except QueueClosed:
        if host.find(name, version) is hosted:
            raise RequestError(503, "The server is shutting down") from None
        return _submit(host, name, version, body, read)


async def _body(request: Request, limits: Limits) -> bytes:
    """The body of a request, refused as soon as it is too long or too slow."""
    too_long = RequestError(413, f"The body has more than {limits.max_body_bytes} B")
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > limits.max_body_bytes:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(limits.deadline_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.max_body_bytes:
                    raise too_long
    except TimeoutError as error:
        raise RequestError(408, "The body did not come in time") from error
    except ClientDisconnect as error:
        raise RequestError(400, "The body is not whole") from error
    return bytes(body)


async def _refused(request: Request, error: RequestError) -> JSONResponse:
    wait = error.retry_after
    headers = {} if wait is None else {"Retry-After": str(wait)}
    return JSONResponse({"error": error.message}, error.status, headers)


async def _no_route(request: Request, error: HTTPException) -> JSONResponse:
    message = f"Malformed request: {request.method} {request.url.path}"
    return JSONResponse({"error": message}, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s failed", request.url.path, exc_info=error)
    return JSONResponse({"error": "Internal error; see the server's log"}, 500)
