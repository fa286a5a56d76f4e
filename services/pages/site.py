"""`mount` adds the pages to the service's application."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from services.access.principal import MissingError, TooLargeError
from services.api.problems import problem_of, with_methods
from services.pages import admin, asking, catalogue, datasets, entering, password, results, searches, tokens
from services.pages.rendering import STATIC, static_file
from services.pages.visiting import PageRoute, Visitor, error_page, see
from services.pages.words import size

_routes = APIRouter(route_class=PageRoute, include_in_schema=False)

_YEAR = "public, max-age=31536000, immutable"


@_routes.get("/")
def first_page(who: Visitor) -> Response:
    """The first page: the list of searches."""
    del who
    return see("/searches")


@_routes.get("/static/{name}")
def static(name: str) -> Response:
    """A file that pages load; its address names its digest, so that it may be kept for a year."""
    if name not in STATIC:
        raise MissingError("there is nothing at this address")
    content, digest = static_file(name)
    return Response(content, media_type=STATIC[name], headers={"Cache-Control": _YEAR, "ETag": f'"{digest}"'})


@_routes.get("/favicon.ico")
def icon() -> Response:
    """Where browsers look for an icon that no page names."""
    return see("/static/icon.svg")


def routers(max_upload: int) -> tuple[APIRouter, ...]:
    """The routers of all pages."""
    modules = (entering, asking, searches, results, catalogue, tokens, password, admin)
    return (_routes, *(module.routes for module in modules), datasets.router(max_upload))


def mount(app: FastAPI, max_upload: int) -> None:
    """Add the pages to an application that has the API.

    Args:
        app: the application; ``app.state.service`` is its service.
        max_upload: bytes of an upload.
    """
    for router in routers(max_upload):
        app.include_router(router)

    async def on_status(request: Request, error: Exception) -> Response:
        """An address that is no page, for a browser, is a page that says so."""
        told = with_methods(request, error)
        return error_page(request, told) if _wants_page(request) else problem_of(told)

    app.add_exception_handler(HTTPException, on_status)


def page_of_refusal(request: Request, status: int, max_upload: int) -> Response | None:
    """The page for a request that is refused before any route has it; None for a client that wants no page.

    Args:
        request: what is refused.
        status: of the answer.
        max_upload: bytes of an upload.
    """
    if not _wants_page(request):
        return None
    if status != 413:
        return error_page(request, HTTPException(status))
    upload = request.url.path == "/datasets"
    most = f"a file may have at most {size(max_upload)}" if upload else "a form may have at most 1 MB"
    remedy = ": save the table as Parquet, or leave columns out" if upload else ""
    return error_page(request, TooLargeError(f"{most}, this has more{remedy}"))


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("Accept", "") and not request.url.path.startswith("/v1/")
