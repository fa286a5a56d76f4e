"""Errors as problem documents (RFC 9457): the rule and what arrived, for every status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from losssearch.errors import ConnectionLostError, InputError, LossSearchError, shown
from losssearch.option_names import in_python, spelled
from losssearch.redaction import redact
from services import queue
from services.access.principal import (
    ConflictError,
    DeniedError,
    ForbiddenError,
    MissingError,
    TooLargeError,
    TooManyError,
)
from services.uploads.receiving import FullError, LengthError, SlowError

MEDIA = "application/problem+json"

STATUS: Mapping[type[BaseException], int] = {
    DeniedError: 401,
    ForbiddenError: 403,
    MissingError: 404,
    queue.NoSearchError: 404,
    SlowError: 408,
    ConflictError: 409,
    queue.StateError: 409,
    queue.KeyReusedError: 409,
    IntegrityError: 409,
    LengthError: 400,
    TooLargeError: 413,
    ClientDisconnect: 400,
    InputError: 422,
    TooManyError: 429,
    ConnectionLostError: 503,
    FullError: 507,
}
"""The status of each error that is raised on purpose."""

ALWAYS = (400, 401, 403, 413, 422, 429, 500, 503)
"""Statuses that any route may answer with."""

_USUAL = {
    404: "there is nothing at this address",
    405: "this address does not take this method: see the header Allow",
    413: "the content must be within the limits of GET /v1/limits, it has more",
}
"""What is said in place of Starlette's words."""

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")

_log = logging.getLogger("losssearch.service")


class Violation(BaseModel):
    """One part of a request that breaks a rule."""

    where: str = Field(description="The part, such as `body.name`.")
    rule: str = Field(description="What must hold.")
    got: str = Field(description="What arrived, at most 80 characters of it.")


class Problem(BaseModel):
    """An error: the rule and what arrived."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`about:blank`: the status says what kind of problem it is.")
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="The rule, what arrived, and where it helps what to do.")
    errors: list[Violation] | None = Field(None, description="For 422: each part that breaks a rule.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses as FastAPI's ``responses``, each a problem document."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, errors: list[dict[str, str]] | None = None
) -> JSONResponse:
    """A problem document as a response."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": redact(detail),
    }
    if errors is not None:
        content["errors"] = errors
    return JSONResponse(content, status, dict(headers or {}), media_type=MEDIA)


def problem_of(error: BaseException) -> JSONResponse:
    """The problem document of an error; one that nobody expected says nothing of itself, and is logged."""
    if isinstance(error, HTTPException):
        detail = _USUAL.get(error.status_code, str(error.detail))
        return problem(error.status_code, detail, headers=error.headers)
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="losssearch"'
    if isinstance(error, TooManyError):
        headers["Retry-After"] = str(round(error.wait))
    if status == 503:
        headers["Retry-After"] = "5"
        return problem(status, "the database does not answer: try again in a moment", headers=headers)
    if isinstance(error, IntegrityError):
        return problem(status, "another request changed the same thing at the same time: look, and try again")
    if isinstance(error, ClientDisconnect):
        return problem(status, "the content must come whole, the client went away before its end")
    if status == 500:
        _log.error("unexpected %s", type(error).__name__, exc_info=error)
        return problem(status, "the service failed, and its log says how: nothing may be wrong with the request")
    # In Python's spelling: options are named in JSON as they are in Python.
    raw = Exception.__str__(error) if isinstance(error, LossSearchError) else str(error)
    return problem(status, spelled(raw, in_python), headers=headers)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem document."""

    async def on_error(request: Request, error: Exception) -> JSONResponse:
        return problem_of(with_methods(request, error))

    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # Routes that find out who asks later than others do.
        if (before := getattr(request.state, "before_refusal", None)) is not None:
            try:
                await run_in_threadpool(before)
            except LossSearchError as denied:
                return problem_of(denied)
        found = [_violation(one) for one in error.errors()[:20]]
        first = found[0]
        return problem(422, f"{first['where']}: {first['rule']}, got {first['got']}", errors=found)

    for kind in (*STATUS, LossSearchError, OSError, HTTPException, Exception):
        app.add_exception_handler(kind, on_error)
    app.add_exception_handler(RequestValidationError, on_invalid)  # type: ignore[arg-type]


def with_methods(request: Request, error: Exception) -> Exception:
    """The same error; one that refuses a method names all that the address takes, not those of the first route."""
    if not isinstance(error, HTTPException) or error.status_code != 405:
        return error

    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)

    # An address of its own, such as /v1/spaces/check, is not what others with a name in its place take.
    own = request.app.openapi()["paths"].get(request.url.path)
    allowed = ", ".join(sorted(method.upper() for method in own) if own else filter(takes, _METHODS))
    return HTTPException(405, error.detail, {**(error.headers or {}), "Allow": allowed})


def _violation(one: Mapping[str, Any]) -> dict[str, str]:
    missing = one.get("type") == "missing"
    where = ".".join(str(part)[:100] for part in one.get("loc", ()))
    return {"where": where, "rule": str(one.get("msg", "")), "got": "nothing" if missing else shown(one.get("input"))}
