"""Who asks, and whether they may: a route's parameter says which scope it needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection

from services.access import failures, sessions, tokens
from services.access.principal import DeniedError, ForbiddenError, Principal, Scope
from services.api.service import Here, Service
from services.reading.searches import require_search
from services.settings import Settings

T = TypeVar("T")

ID = re.compile(r"[0-9a-f]{32}")
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
CSRF = "X-CSRF-Token"

_bearer = HTTPBearer(auto_error=False, description="A token `ls_…`, see `POST /v1/tokens`.")
_cookie = APIKeyCookie(
    name="__Host-losssearch",
    auto_error=False,
    description=f"A session, see `POST /v1/session`; what changes something also sends its CSRF token as {CSRF}.",
)


def cookie_name(settings: Settings) -> str:
    """The name of the session's cookie; over http browsers take no ``__Host-`` cookie."""
    return "__Host-losssearch" if settings.secure else "losssearch"


def browser_name(settings: Settings) -> str:
    """The name of the cookie by which a browser is known that has logged in before. It lets nobody in."""
    return f"{cookie_name(settings)}-browser"


def address_of(request: Request) -> str:
    """The address of who asks, as the proxy has told it."""
    return request.client.host if request.client else "unknown"


Further = Callable[[Connection, Principal], object]


def identify(request: Request, service: Service, further: Further | None = None) -> Principal:
    """Who asks, by token or session.

    Args:
        request: what they sent.
        service: the service.
        further: what else is to be read in the same transaction, once they are known; it may raise.

    Raises:
        DeniedError: nobody who may ask.
        TooManyError: too many wrong tokens came from this address.
    """
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and text:
        return _by_token(service, text.strip(), address_of(request), further)
    if secret := request.cookies.get(cookie_name(service.settings)):
        return service.read(lambda c: _and(c, sessions.principal_of(c, secret), further))
    raise DeniedError("a request must have a token or a session: see `losssearch remote login`")


def require_genuine(request: Request, who: Principal, presented: str | None = None) -> None:
    """Raise `ForbiddenError` for a change by a session without its CSRF token, as header or in a form."""
    if request.method in SAFE or who.token is not None:
        return
    if not sessions.genuine(who, request.headers.get(CSRF, "") if presented is None else presented):
        raise ForbiddenError(f"a change by a session must come with its CSRF token as {CSRF}: load the page again")


def _and(connection: Connection, who: Principal, further: Further | None) -> Principal:
    if further is not None:
        further(connection, who)
    return who


def _by_token(service: Service, text: str, address: str, further: Further | None) -> Principal:
    try:
        who = service.read(lambda c: _and(c, tokens.principal_of(c, text), further))
    except DeniedError:
        key = (f"token-ip:{failures.place_of(address)}",)

        def count(connection: Connection) -> None:
            failures.failed(connection, key)

        service.read(lambda connection: failures.require_few(connection, key))
        service.write(count)
        raise
    if who.token is not None and service.uses.due(who.token):
        token = who.token
        service.write(lambda connection: tokens.note_use(connection, token))
    return who


def _sees(
    request: Request,
    service: Here,
    _token: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    _session: Annotated[str | None, Security(_cookie)],
) -> Principal:
    search = request.path_params["search"]
    if ID.fullmatch(search) is None:  # which the route's own parameter refuses, once it is known who asks
        return identify(request, service)
    return identify(request, service, lambda connection, who: require_search(connection, who, search))


class Asker:
    """Who asks for something that changes nothing, identified in the same transaction as what they ask for.

    One change of thread and one connection then do for a request, which takes longer than what it reads.
    """

    def __init__(self, request: Request, service: Service) -> None:
        self._request, self._service = request, service

    def read(self, work: Callable[[Connection, Principal], T]) -> T:
        """What ``work`` gives, which may only read; called in a thread.

        Raises:
            DeniedError: nobody who may ask.
            TooManyError: too many wrong tokens came from this address.
        """
        found: list[T] = []

        def further(connection: Connection, who: Principal) -> None:
            found[:] = [work(connection, who)]

        identify(self._request, self._service, further)
        return found[0]


async def _asker(
    request: Request,
    service: Here,
    _token: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    _session: Annotated[str | None, Security(_cookie)],
) -> Asker:
    asker = Asker(request, service)
    # Whoever asks for nonsense is told so once it is known who asks, as on every other route.
    request.state.before_refusal = lambda: asker.read(lambda connection, who: None)
    return asker


def _requires(scope: Scope) -> Callable[..., Principal]:
    def required(
        request: Request,
        service: Here,
        _token: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
        _session: Annotated[str | None, Security(_cookie)],
    ) -> Principal:
        who = identify(request, service)
        if not who.may(scope):
            raise ForbiddenError(f"this needs the scope {scope!r}, yours is {who.scope!r} as {who.role}")
        require_genuine(request, who)
        return who

    return required


Reader = Annotated[Principal, Depends(_requires("read"))]
Writer = Annotated[Principal, Depends(_requires("write"))]
Admin = Annotated[Principal, Depends(_requires("admin"))]
Asks = Annotated[Asker, Depends(_asker)]
"""Who asks on a route that is asked all the time, and is not `async`."""

Sees = Annotated[Principal, Depends(_sees)]
"""A reader who may see the ``search`` that the path names; for routes that change nothing."""

VISIBLE = Depends(_sees)
"""The same for routes that need not know who it is."""
