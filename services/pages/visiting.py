"""Who visits a page, and what a form must bring along; errors are pages too."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.datastructures import FormData

from losssearch.errors import ConnectionLostError, LossSearchError
from services.access.principal import DeniedError, ForbiddenError, MissingError, Principal
from services.api.guard import identify, require_genuine
from services.api.problems import problem_of
from services.api.service import Here
from services.pages.rendering import page

MOST_FIELDS = 1_000


class PageRoute(APIRoute):
    """A route whose errors are pages, and which sends those who are not logged in to the login."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await inner(request)
            except DeniedError:
                return _to_login(request)
            except RequestValidationError:
                return error_page(request, MissingError("there is nothing at this address"))
            except Exception as error:  # noqa: BLE001  (one that nobody expected is logged, and is a page that says so)
                return error_page(request, error)

        return handle


def see(address: str) -> RedirectResponse:
    """Send the browser to a page of ours after a change."""
    return RedirectResponse(address, 303)


def error_page(request: Request, error: BaseException, who: Principal | None = None) -> Response:
    """An error as a page, with the status and the words that the API has for it."""
    told = problem_of(error)
    found = json.loads(bytes(told.body))
    kept = {name: told.headers[name] for name in ("Retry-After",) if name in told.headers}
    made = page(request, "error.html", who, status=told.status_code, title=found["title"], detail=found["detail"])
    made.headers.update(kept)
    return made


def described(error: LossSearchError) -> tuple[int, str]:
    """The status and the words of an error that a form shows above its fields; what is no fault of it is raised."""
    if isinstance(error, ConnectionLostError | DeniedError):
        raise error
    told = problem_of(error)
    return told.status_code, str(json.loads(bytes(told.body))["detail"])


def own_address(text: str) -> str:
    """``text`` where it is the path of a page of ours, else the first page: nobody is sent elsewhere."""
    fine = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if fine else "/searches"


def require_own_form(request: Request) -> None:
    """Raise `ForbiddenError` for a form that another site has sent: before a login there is no CSRF token."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin.partition("://")[2] != request.headers.get("Host")
    if site not in ("same-origin", "none") or foreign:
        raise ForbiddenError("this form must be sent from a page of this service: load the page again")


def visitor(request: Request, service: Here) -> Principal:
    """Who looks at a page."""
    return identify(request, service)


async def posted(request: Request) -> FormData:
    """The fields of a form."""
    return await request.form(max_files=0, max_fields=MOST_FIELDS)


def poster(request: Request, service: Here, form: Annotated[FormData, Depends(posted)]) -> Principal:
    """Who sends a form, with the CSRF token of the session.

    Raises:
        DeniedError: nobody who may.
        ForbiddenError: the token is not that of the session.
    """
    who = identify(request, service)
    require_genuine(request, who, text_of(form, "csrf"))
    if not who.may("write"):
        raise ForbiddenError(f"this needs the scope 'write', yours is {who.scope!r}")
    return who


def text_of(form: FormData, name: str) -> str:
    """A field as text without spaces around it; empty where it is missing."""
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def texts_of(form: FormData, name: str) -> list[str]:
    """All values of a field that are not empty."""
    return [value for value in form.getlist(name) if isinstance(value, str) and value.strip()]


def _to_login(request: Request) -> Response:
    following = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?next={quote(following)}" if request.method == "GET" and following != "/" else ""
    if request.headers.get("HX-Request"):
        return Response(status_code=204, headers={"HX-Redirect": "/login"})
    return see(f"/login{back}")


Visitor = Annotated[Principal, Depends(visitor)]
Poster = Annotated[Principal, Depends(poster)]
Form = Annotated[FormData, Depends(posted)]
