"""`create_app` makes the application: routes, errors, headers, measures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import Scope

from losssearch import __version__
from losssearch.storage.engine import Database
from services import migrations
from services.api import catalogue, datasets, events, operations, people, results, searches, session, trials
from services.api.headers import Headers
from services.api.left import clear_left
from services.api.problems import ALWAYS, Problem, documented, install, problem
from services.api.service import Service
from services.api.telemetry import Telemetry
from services.artifacts import Artifacts
from services.catalogue.client import Catalogue
from services.database import open_database
from services.pages.site import mount, page_of_refusal
from services.settings import Settings

LARGEST_BODY = 1 << 20
"""Bytes of a body that is no upload."""


def create_app(settings: Settings, database: Database | None = None) -> FastAPI:
    """Make the application of one process.

    Args:
        settings: of the service.
        database: of the service, where the caller has it open already; it is then the caller's to close.

    Returns:
        An ASGI application; ``app.state.service`` is its `Service`.

    Raises:
        DataError: the tables are not of this version.
        ConnectionLostError: the database does not answer.
    """
    opened = open_database(settings.database_url) if database is None else database
    migrations.check(opened)
    known, telemetry = Catalogue(), Telemetry()
    service = Service(settings, opened, known, Artifacts(settings, known), telemetry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        settings.incoming.mkdir(parents=True, exist_ok=True)
        clear_left(service)
        yield
        known.close()
        service.artifacts.close()
        if database is None:
            opened.close()

    app = FastAPI(
        title="losssearch",
        version=__version__,
        summary="Searches for training losses as jobs, for a team.",
        lifespan=lifespan,
        openapi_url=None,  # its own route asks who one is; pages with scripts from elsewhere are not shown
        docs_url=None,
        redirect_slashes=False,
        redoc_url=None,
        responses=documented(*ALWAYS),
        max_body_size=LARGEST_BODY,
        telemetry=telemetry.config(),
    )
    app.state.service = service
    install(app)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts), www_redirect=False)
    app.include_router(datasets.router(settings.max_upload))
    for module in (searches, events, trials, results, catalogue, people, session, operations):
        app.include_router(module.routes)
    mount(app, settings.max_upload)
    _describe_problems(app)
    _wrap(app, settings.max_upload)
    return app


def _wrap(app: FastAPI, max_upload: int) -> None:
    """Put the headers outside of all else: FastAPI's limit of bodies answers before any middleware that is added."""
    build = app.build_middleware_stack

    def refusal(scope: Scope, status: int, detail: str) -> Response:
        return page_of_refusal(Request(scope), status, max_upload) or problem(status, detail)

    app.build_middleware_stack = lambda: Headers(build(), refusal)  # type: ignore[method-assign]


def _describe_problems(app: FastAPI) -> None:
    """Put the problem document among the schemas that the description of the API refers to."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        found = made()
        schemas = found.setdefault("components", {}).setdefault("schemas", {})
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas["Problem"] = schema
        return found

    app.openapi = openapi  # type: ignore[method-assign]
