"""What came of a search: leaderboard, verdict, report, bundle."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

from services.api import answers
from services.api.bodies import Identifier
from services.api.guard import VISIBLE
from services.api.headers import FRAMED
from services.api.problems import documented
from services.api.service import Here

routes = APIRouter(prefix="/v1/searches/{search}", tags=["results"], dependencies=[VISIBLE])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILE = {"description": "The file.", "content": {"application/octet-stream": _BINARY}}
_ZIP = {"description": "The archive.", "content": {"application/zip": _BINARY}}


@routes.get("/leaderboard", responses=documented(404, 409))
def show_leaderboard(search: Identifier, service: Here) -> list[dict[str, Any]]:
    """The searched loss and every baseline in one order, on test rows; once the search has its result."""
    return service.artifacts.leaderboard(search)


@routes.get("/verdict", responses=documented(404, 409))
def show_verdict(search: Identifier, service: Here) -> answers.Verdict:
    """What the search says in the end: the verdict, the formula, constraints, and what each part is worth."""
    return answers.Verdict.model_validate(service.artifacts.verdict(search))


@routes.get("/result", responses=documented(404, 409))
def show_result(search: Identifier, service: Here) -> dict[str, Any]:
    """The whole `result.json`."""
    return service.artifacts.result(search)


@routes.get("/report", response_class=HTMLResponse, responses=documented(404, 409))
def show_report(search: Identifier, service: Here) -> FileResponse:
    """The report as a page that may only be shown in a sandbox."""
    return FileResponse(
        service.artifacts.file(search, "report.html"),
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": FRAMED},
    )


@routes.get("/bundle", response_class=Response, responses={**documented(404, 409), 200: _ZIP})
def download_bundle(search: Identifier, service: Here) -> Response:
    """The loss as a zip archive: `loss.py`, its weights, the report, and what is needed to use them."""
    name = f'attachment; filename="losssearch-{search[:8]}.zip"'
    return Response(
        service.artifacts.bundle(search), media_type="application/zip", headers={"Content-Disposition": name}
    )


@routes.get("/model", responses={**documented(404, 409), 200: _FILE}, response_class=FileResponse)
def download_model(search: Identifier, service: Here) -> FileResponse:
    """The trained model as safetensors, which a search with differential privacy keeps; else 404, with the reason."""
    return FileResponse(
        service.artifacts.model(search),
        media_type="application/octet-stream",
        filename=f"model-{search[:8]}.safetensors",
    )
