"""Tokens: for the command line and for scripts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from losssearch.errors import InputError, LossSearchError, shown
from services.access import audit, tokens
from services.access.principal import SCOPES, Principal, Scope
from services.api.bodies import Identifier, Title
from services.api.service import Here, Service
from services.pages.rendering import page
from services.pages.visiting import Form, PageRoute, Poster, Visitor, described, see, text_of
from services.reading import people as reading

routes = APIRouter(prefix="/tokens", route_class=PageRoute, include_in_schema=False)

LIVES = {"7": "7 days", "90": "90 days", "365": "a year", "": "until it is revoked"}
_TITLE: TypeAdapter[str] = TypeAdapter(Annotated[str, Title])


@routes.get("")
def list_tokens(request: Request, service: Here, who: Visitor) -> Response:
    """The tokens of who asks, and a form for another."""
    return _shown(request, service, who)


@routes.post("")
def create_token(request: Request, service: Here, who: Poster, form: Form) -> Response:
    """Make a token and show it, this once."""
    name, scope, days = (text_of(form, field) for field in ("name", "scope", "days"))

    def make(connection: Connection) -> str:
        made = tokens.issue(connection, who, name, found, float(days) * 86_400 if days else None)
        audit.record(connection, who, "token.create", made.id, name=name, scope=scope)
        return made.secret

    try:
        found = _scope(scope)
        _require(name, days)
        secret = service.write(make)
    except LossSearchError as error:
        status, problem = described(error)
        return _shown(request, service, who, status=status, problem=problem)
    return _shown(request, service, who, secret=secret)


@routes.post("/{token}/revoke")
def revoke_token(token: Identifier, service: Here, who: Poster) -> Response:
    """End a token, at once."""

    def revoke(connection: Connection) -> None:
        tokens.revoke(connection, who, token)
        audit.record(connection, who, "token.revoke", token)

    service.write(revoke)
    return see("/tokens?said=revoked")


def _shown(
    request: Request,
    service: Service,
    who: Principal,
    *,
    status: int = 200,
    problem: str | None = None,
    secret: str | None = None,
) -> Response:
    facts = {
        "tokens": service.read(lambda c: reading.list_tokens(c, who.user)),
        "scopes": [one for one in SCOPES if who.may(one)],
        "lives": LIVES,
        "secret": secret,
        "problem": problem,
        "address": service.settings.public_url,
    }
    return page(request, "tokens.html", who, status=status, **facts)


def _scope(text: str) -> Scope:
    for one in SCOPES:
        if one == text:
            return one
    raise InputError(f"a token's scope must be one of {', '.join(SCOPES)}, got {shown(text)}")


def _require(name: str, days: str) -> None:
    if days not in LIVES:
        raise InputError(f"a token's life must be one of {', '.join(LIVES.values())}, got {shown(days)}")
    try:
        _TITLE.validate_python(name)
    except ValidationError:
        raise InputError(f"a token's name must be 1 to 100 printable characters, got {shown(name)}") from None
