"""Logging in and out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from services.access import sessions
from services.access.passwords import LONGEST
from services.access.principal import DeniedError, TooManyError
from services.api.guard import address_of, cookie_name
from services.api.service import Here, Service
from services.api.session import clear_cookie, follow_link, open_session, set_cookie
from services.pages.rendering import page
from services.pages.visiting import Form, PageRoute, Poster, own_address, require_own_form, see, text_of

routes = APIRouter(route_class=PageRoute, include_in_schema=False)


@routes.get("/login")
def login_page(request: Request, service: Here) -> Response:
    """The form to log in."""
    return _page(request, service, following=own_address(request.query_params.get("next", "")))


@routes.post("/login")
def log_in(request: Request, service: Here, form: Form) -> Response:
    """Log in, and go to the page that was asked for."""
    require_own_form(request)
    name, following = text_of(form, "name"), own_address(text_of(form, "next"))
    secret = form.get("password", "")
    if not isinstance(secret, str) or len(secret) > LONGEST:
        secret = ""  # fits nobody, which is counted as any other failure
    try:
        session = open_session(service, name[:100].replace("\0", ""), secret.replace("\0", ""), request)
    except (DeniedError, TooManyError) as error:
        status = 429 if isinstance(error, TooManyError) else 401
        return _page(request, service, status, name=name, following=following, problem=str(error))
    answer = see(following)
    set_cookie(answer, service.settings, session)
    return answer


@routes.get("/login/link")
def follow(request: Request, service: Here, code: str = "") -> Response:
    """Log in with a login link, as it is printed where the service runs."""
    try:
        session = follow_link(service, code[:200], address_of(request))
    except DeniedError as error:
        return _page(request, service, 401, problem=str(error))
    answer = see("/searches")
    set_cookie(answer, service.settings, session)
    return answer


@routes.post("/logout")
def log_out(request: Request, service: Here, who: Poster) -> Response:
    """End the session."""
    del who
    if secret := request.cookies.get(cookie_name(service.settings)):
        service.write(lambda c: sessions.log_out(c, secret))
    answer = see("/login")
    clear_cookie(answer, service.settings)
    return answer


def _page(
    request: Request, service: Service, status: int = 200, *, name: str = "", following: str = "/searches", **facts: Any
) -> Response:
    facts |= {"name": name, "following": following, "alone": service.settings.dev}
    return page(request, "login.html", None, status=status, **facts)
