"""``/health``, ``/ready``, ``/metrics``, ``/v1/limits`` and the description of the API."""

from __future__ import annotations

import shutil
import time
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from losssearch.errors import LossSearchError
from losssearch.request.remote import remote_schema
from services import migrations
from services.access import quotas
from services.access.principal import ForbiddenError
from services.api import answers
from services.api.guard import Reader, identify
from services.api.service import Here, Service
from services.reading import people
from services.uploads.limits import FORMATS
from services.uploads.receiving import KEPT_FREE

routes = APIRouter(tags=["operations"])

_UNREADY: dict[int | str, dict[str, Any]] = {503: {"description": "It is not ready.", "model": answers.Health}}
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text format."}
}


@routes.get("/health")
async def health() -> answers.Health:
    """Whether the process answers."""
    # In no thread: all of them may wait for the database.
    return answers.Health(ok=True)


@routes.get("/ready", responses=_UNREADY)
def ready(service: Here) -> Any:
    """Whether the database answers, its tables are of this version, and the disk has room."""
    problems = [*_of_database(service), *_of_disk(service)]
    found = answers.Health(ok=not problems, problems=problems)
    return JSONResponse(found.model_dump(), 503 if problems else 200)


@routes.get("/metrics", responses=_TEXT, response_class=Response)
def metrics(request: Request, service: Here) -> Response:
    """Counts and times for Prometheus: for an admin's token, or for all if the settings say so."""
    if not service.settings.open_metrics and not identify(request, service).may("admin"):
        raise ForbiddenError("metrics are for an admin's token, or LOSSSEARCH_OPEN_METRICS=1")
    return Response(service.telemetry.text(service), media_type="text/plain; version=0.0.4; charset=utf-8")


@routes.get("/v1/limits")
def limits(service: Here, who: Reader) -> answers.Limits:
    """What an upload may hold, what the team may have, and the JSON Schema of a search's options."""
    team = service.read(lambda c: people.team_quotas(c, who))
    asked = service.read(lambda c: quotas.request_limits(c, who.team))
    return answers.Limits.model_validate(
        {
            "upload_bytes": service.settings.max_upload,
            "formats": list(FORMATS),
            "rows": service.limits.rows,
            "columns": service.limits.columns,
            "cell_bytes": service.limits.cell,
            "unpacked_bytes": service.limits.unpacked,
            "team": team,
            "request": remote_schema(asked),
        }
    )


@routes.get("/v1/openapi.json", include_in_schema=False)
def description(request: Request, who: Reader) -> JSONResponse:
    """The API as OpenAPI 3.1."""
    del who
    return JSONResponse(request.app.openapi())


def _of_database(service: Service) -> list[str]:
    began = time.monotonic()
    try:
        found = service.read(migrations.current)
    except LossSearchError:
        return [f"the database does not answer, tried for {time.monotonic() - began:.0f} s"]
    if found != migrations.head():
        return [f"the tables must be at version {migrations.head()}, they are at {found}: run losssearch serve migrate"]
    return []


def _of_disk(service: Service) -> list[str]:
    try:
        free = shutil.disk_usage(service.settings.data).free
    except OSError:
        return ["the folder of data is not there"]
    return [] if free >= KEPT_FREE else [f"the disk must have {KEPT_FREE:,} bytes free, it has {free:,}"]
