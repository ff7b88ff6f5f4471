"""Every refusal as application/problem+json (RFC 9457): what is wrong, which field, and what to do about it."""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from ray.exceptions import RayError, RayTaskError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from kilowait.core.control_characters import escaped, escaped_all
from kilowait.core.errors import (
    IllegalEvent,
    InputError,
    JobRefused,
    KilowaitError,
    ModelError,
    QuotaReached,
    SourceError,
    StoreError,
)
from kilowait.core.submission_limits import MAX_NAME

from . import schemas

MEDIA_TYPE = "application/problem+json"
RETRY_S = 2.0
"""What Retry-After says when something is full or on its way back."""

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
NOT_THERE = {404: "there is nothing", 405: "not with this method"}
MAX_TOLD = 100
"""Mistakes of one request that are told: a long list would answer a large request with a larger one."""

UNSHOWN = ("", "value", "environment")
"""Fields, and the whole body, that may hold secrets: what was given is not told back."""

_FIELDS = ("entrypoint", "arguments", "environment", "timeout_s", "max_attempts", "owner", "labels", "gpu_types")
_FIELDS += ("gpu_milli", "gpus", "memory_bytes", "priority", "deadline", "archive", "source")


class Refusal(Exception):  # noqa: N818 - what HTTP calls a problem is not always an error
    """An answer that is no success; `field` is the culprit where there is one, `errors` are
    its parts."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        remedy: str,
        field: str | None = None,
        retry_s: float | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.remedy, self.field = status, title, detail, remedy, field
        self.retry_s, self.errors = retry_s, errors


def install(app: FastAPI) -> None:
    """Turn everything that a route may raise into a problem."""
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    for kind in (KilowaitError, RayError):
        app.add_exception_handler(kind, _on_error)
    app.add_exception_handler(Exception, _on_fault)


def problem(refusal: Refusal, errors: list[dict[str, str]] | None = None) -> schemas.ProblemDetails:
    """A refusal for the wire."""
    return schemas.ProblemDetails(
        type=f"urn:kilowait:{refusal.title.replace(' ', '-')}",
        title=refusal.title,
        status=refusal.status,
        detail=escaped(refusal.detail),
        field=refusal.field if refusal.field is None else escaped(refusal.field),
        remedy=escaped(refusal.remedy),
        errors=escaped_all(errors or refusal.errors or []),
    )


def answer(refusal: Refusal, errors: list[dict[str, str]] | None = None) -> JSONResponse:
    """A refusal as a response."""
    headers: dict[str, str] = {}
    if refusal.retry_s is not None:
        headers["Retry-After"] = str(math.ceil(refusal.retry_s))
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="kilowait"'
    return JSONResponse(problem(refusal, errors).model_dump(), refusal.status, headers, MEDIA_TYPE)


def refused(error: BaseException) -> Refusal | None:
    """The refusal behind an error of the domain or of Ray, None for a fault of ours."""
    if isinstance(error, RayTaskError):
        return refused(error.cause) if isinstance(error.cause, KilowaitError) else None
    text = str(error)
    match error:
        case JobRefused():
            remedy = "ask for fewer GPUs, or for types that are there"
            return Refusal(422, "job refused", text, field=_field(text) or "gpus", remedy=remedy)
        case QuotaReached():
            head, _, tail = text.rpartition("; ")
            return Refusal(429, "quota reached", head, field="gpus" if text.startswith("gpus") else None, remedy=tail)
        case InputError():
            field = _field(text) or ("source" if isinstance(error, SourceError) else None)
            status, title = (409, "conflict") if text.startswith("key ") else (422, "invalid input")
            head, _, tail = text.rpartition("; ")
            remedy = tail if head else f"correct {field or 'the request'}"
            return Refusal(status, title, head or text, field=field, remedy=remedy)
        case IllegalEvent():
            return Refusal(409, "conflict", str(error), remedy="look at the present state, and ask again")
        case StoreError():  # its message says where the history is, which is for operators
            logging.getLogger("ray.serve").warning("the history: %s", error)
            remedy = "ask again after Retry-After; the service's log tells an operator why"
            text = "the history cannot be read or written now"
            return Refusal(503, "history unavailable", text, remedy=remedy, retry_s=RETRY_S)
        case ModelError():
            return Refusal(503, "predictor unavailable", str(error), remedy="see the service's log", retry_s=30)
        case RayError() | TimeoutError():
            text = f"a part of the service is on its way back ({type(error).__name__})"
            return Refusal(503, "service unavailable", text, remedy="ask again after Retry-After", retry_s=RETRY_S)
        case _:
            return None


def busy() -> Refusal:
    """The queue of the predictor is full, or none of its replicas is there."""
    text = "more predictions are asked for than can be made now"
    return Refusal(503, "predictor busy", text, remedy="ask again after Retry-After", retry_s=RETRY_S)


def _field(text: str) -> str | None:
    """The field that a message of the domain names."""
    head = text.split(":")[0] + " " + text
    if head.startswith("key "):
        return "Idempotency-Key"
    if head.startswith("file "):
        return "entrypoint"
    if head.startswith(("image ", "requirements ")):
        return head.split()[0]
    if "GPU type" in text or "types it may use" in text:
        return "gpu_types"
    return next((field for field in _FIELDS if field in head), "source" if "source" in text else None)


async def _on_refusal(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return answer(error)


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [_invalid(mistake) for mistake in error.errors()[:MAX_TOLD]]
    first = errors[0]
    detail = f"{first['field']}: {first['detail']}"
    return answer(Refusal(422, "invalid input", detail, field=first["field"], remedy=first["remedy"]), errors)


def _invalid(mistake: Mapping[str, Any]) -> dict[str, str]:
    """One mistake that the wire models found."""
    field = ".".join(str(part)[:MAX_NAME] for part in mistake["loc"] if part not in ("body", "query", "path", "header"))
    if field.endswith("[key]"):
        field = field.partition(".")[0]
    received = "" if mistake.get("type") in ("missing", "json_invalid") else f", got {str(mistake.get('input'))[:80]!r}"
    if mistake.get("type") in ("value_error", "extra_forbidden") or field.partition(".")[0] in UNSHOWN:
        received = ""
    remedy = (
        "leave it out: the service knows no such field" if mistake["type"] == "extra_forbidden" else f"correct {field}"
    )
    if mistake["type"] == "missing":
        remedy = f"give {field}"
    return {
        "field": field or "body",
        "detail": f"{mistake['msg']}{received}",
        "remedy": remedy if field else "see openapi.json",
    }


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail, remedy = str(error.detail), "correct the request"
    if (what := NOT_THERE.get(error.status_code)) is not None:
        detail, remedy = f"{request.method} {request.url.path}: {what}", "see /v1/openapi.json for what there is"
    response = answer(Refusal(error.status_code, str(error.detail).lower(), detail, remedy=remedy))
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(_methods_of(request))
    return response


def _methods_of(request: Request) -> list[str]:
    """What may be done with a path; what was matched knows of one route, and a path may have several."""
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    routes = request.app.routes
    return [name for name, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)]


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    refusal = refused(error)
    return answer(refusal) if refusal is not None else await _on_fault(request, error)


async def _on_fault(_: Request, error: Exception) -> JSONResponse:
    text = f"a fault of the service ({type(error).__name__}); it is in the log of the scheduler deployment"
    return answer(Refusal(500, "internal error", text, remedy="tell the operator, with the time"))


Receive = Callable[[], Awaitable[Any]]


class BodyLimit:
    """ASGI middleware: a body above `max_bytes` is refused before it is read to its end."""

    def __init__(self, app: Any, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        """Pass on what is small enough."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared_size = dict(scope["headers"]).get(b"content-length", b"0")
        if declared_size.isdigit() and int(declared_size) > self.max_bytes:
            await self._refuse(scope, receive, send, int(declared_size))
            return
        size = 0

        async def counted() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.max_bytes:
                raise HTTPException(413, f"a body of more than {self.max_bytes:,} bytes")
            return message

        await self.app(scope, counted, send)

    async def _refuse(self, scope: Any, receive: Receive, send: Any, size: int) -> None:
        text = f"a body of {size:,} bytes; the limit is {self.max_bytes:,}"
        refusal = Refusal(413, "too large", text, field="body", remedy="send less: data belongs on a shared disk")
        await answer(refusal)(scope, receive, send)
