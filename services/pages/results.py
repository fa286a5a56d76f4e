"""The result of a search: verdict, table, formula and its picture, report, downloads, and how to run it again."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from losssearch.errors import DataError
from losssearch.tracking.names import legal
from services.access.principal import ConflictError, MissingError
from services.api.bodies import Identifier
from services.api.service import Here, Service
from services.artifacts import EXPORT, MODEL, REPORT
from services.pages.question import again
from services.pages.rendering import page
from services.pages.visiting import PageRoute, Visitor
from services.reading import searches as reading
from services.settings import Settings

routes = APIRouter(prefix="/searches", route_class=PageRoute, include_in_schema=False)

FIGURES = {
    "loss_shape": "The loss and its gradient",
    "leaderboard": "The searched loss and the baselines",
    "history": "Values in the order of the trials",
    "trade_off": "The metric against the gap",
    "price": "What the constraint costs",
    "groups": "Rates of each group",
}
"""Figures of a study that pages show, and what they are of."""

_COLUMNS = frozenset(
    ("rank", "name", "formula", "validation", "test", "std", "difference", "recommended", "best_epoch", "most_epochs")
) | {"interval_low", "interval_high"}


def facts(service: Service, search: dict[str, Any]) -> dict[str, Any]:
    """What the page of a search that has ended shows in addition; ``result`` is None where it has none."""
    identifier = search["id"]
    made: dict[str, Any] = {
        "result": None,
        "rows": [],
        "gaps": [],
        "figures": [name for name in FIGURES if _there(service, identifier, f"figures/{name}.png")],
        "captions": FIGURES,
        "report": _there(service, identifier, REPORT),
        "bundle": _there(service, identifier, f"{EXPORT}/loss.py"),
        "model": _there(service, identifier, f"{EXPORT}/{MODEL}"),
        "run": mlflow_address(service.settings, search),
        "table": None,
        "remarks": [],
        "sentences": [],
        "again": again,
        "unreadable": None,
    }
    try:
        result = service.artifacts.verdict(identifier)
        rows = service.artifacts.leaderboard(identifier)
    except ConflictError:
        return made
    except (DataError, ValueError) as error:  # cut off, or larger than is shown: its files can still be had
        return made | {"unreadable": str(error)}
    names = dict.fromkeys(name for row in rows for name in row if name not in _COLUMNS and not name.endswith("_met"))
    gaps = [name for name in names if any(isinstance(row.get(name), int | float) for row in rows)]
    whole = service.artifacts.result(identifier)
    made |= {"result": result, "rows": rows, "gaps": gaps, "remarks": whole.get("notes") or []}
    made["table"] = mlflow_table(service.settings, search, whole)
    return made | {"sentences": _sentences(str(result["verdict"].get("text") or ""))}


def mlflow_address(settings: Settings, search: dict[str, Any]) -> str | None:
    """Where the MLflow run of a search is seen; None where there is none."""
    base = _mlflow(settings)
    return None if base is None or not search["mlflow_run"] else f"{base}/#/runs/{search['mlflow_run']}"


def mlflow_table(settings: Settings, search: dict[str, Any], result: dict[str, Any]) -> str | None:
    """Where MLflow shows the trials of a search as a table, the best one first; None where that is not known."""
    base, tracked, metric = _mlflow(settings), result.get("mlflow") or {}, result.get("metric") or {}
    if base is None or not (run := search["mlflow_run"]) or not tracked.get("experiment_id"):
        return None
    asked = {
        "workflowType": "machine_learning",
        "searchFilter": f"tags.`mlflow.parentRunId` = '{run}'",
        "orderByKey": f"metrics.`validation_{legal(str(metric.get('name')))}`",
        "orderByAsc": str(metric.get("direction") == "minimize").lower(),
        "startTime": "ALL",
    }
    number = quote(str(tracked["experiment_id"]), safe="")
    return f"{base}/#/experiments/{number}/runs?{urlencode(asked, quote_via=quote)}"


def _mlflow(settings: Settings) -> str | None:
    """Where a browser finds MLflow."""
    if settings.tracking_uri is None:
        return None
    # Where the server is on this machine, as with `losssearch serve --dev`, no proxy is in front of it.
    here = urlsplit(settings.tracking_uri).hostname in ("127.0.0.1", "localhost", "::1")
    base = settings.tracking_uri if here else f"{settings.public_url.rstrip('/')}/mlflow"
    return base.rstrip("/")


@routes.get("/{search}/report")
def report(search: Identifier, request: Request, service: Here, who: Visitor) -> Response:
    """The report, in a frame that may do nothing."""
    found = service.read(lambda c: reading.find_search(c, who, search))
    service.artifacts.file(search, REPORT)
    return page(request, "report.html", who, search=found)


@routes.get("/{search}/figures/{name}.png")
def figure(search: Identifier, name: str, service: Here, who: Visitor) -> Response:
    """A figure of a study."""
    service.read(lambda c: reading.find_search(c, who, search))
    if name not in FIGURES:
        raise MissingError(f"there is no figure {name[:80]!r}")
    path = service.artifacts.file(search, f"figures/{name}.png")
    return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=300"})


def _sentences(text: str) -> list[str]:
    """A verdict as its first sentence, which is shown large, and the rest."""
    found = re.search(r"[.:] (?=[A-Z])|: (?=differences|both)", text)
    parts = [text] if found is None else [text[: found.start()] + ".", text[found.end() :]]
    return [part[:1].upper() + part[1:] for part in parts if part]


def _there(service: Service, search: str, name: str) -> bool:
    try:
        service.artifacts.file(search, name)
    except ConflictError:
        return False
    return True
