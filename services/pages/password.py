"""One's own password."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from losssearch.errors import LossSearchError
from services.access.passwords import LONGEST, SHORTEST
from services.access.principal import Principal
from services.api.people import set_own_password
from services.api.service import Here
from services.pages.rendering import page
from services.pages.visiting import Form, PageRoute, Poster, Visitor, described, see, text_of

routes = APIRouter(prefix="/password", route_class=PageRoute, include_in_schema=False)


@routes.get("")
def password_page(request: Request, who: Visitor) -> Response:
    """The form for a new password."""
    return _shown(request, who)


@routes.post("")
def change_password(request: Request, service: Here, who: Poster, form: Form) -> Response:
    """Change the password; all other sessions of the user end."""
    given = [str(value) if isinstance(value := form.get(name), str) else "" for name in ("current", "password")]
    current, fresh = given[0][: LONGEST + 1], given[1][: LONGEST + 1]
    try:
        set_own_password(service, who, current or None, fresh, revoke_tokens=text_of(form, "revoke_tokens") == "yes")
    except LossSearchError as error:
        status, problem = described(error)
        return _shown(request, who, status, problem)
    return see("/tokens?said=password")


def _shown(request: Request, who: Principal, status: int = 200, problem: str | None = None) -> Response:
    facts = {"shortest": SHORTEST, "longest": LONGEST, "problem": problem}
    return page(request, "password.html", who, status=status, **facts)
