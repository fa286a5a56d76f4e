"""Searches: listed, watched while they run, cancelled, continued, deleted."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from losssearch.errors import InputError, LossSearchError, shown
from services import schema
from services.access.principal import Principal
from services.api.bodies import Cursor, Identifier
from services.api.headers import PAGE
from services.api.service import Here, Service
from services.changing import searches as changing
from services.pages import metrics, results
from services.pages.chart import chart
from services.pages.rendering import page, render
from services.pages.visiting import Form, PageRoute, Poster, Visitor, described, see, text_of
from services.reading import progress
from services.reading import searches as reading

routes = APIRouter(prefix="/searches", route_class=PageRoute, include_in_schema=False)

LEADERS = 10
"""Trials of the leaderboard of a search that runs."""


@routes.get("")
def list_searches(
    request: Request,
    service: Here,
    who: Visitor,
    whose: str = "team",
    state: str = "",
    cursor: Annotated[Cursor, Query()] = None,
) -> Response:
    """The searches of the team, or those of who asks."""
    known = state if state in metrics.STATES else None
    mine = whose == "mine"
    found = service.read(
        lambda c: reading.list_searches(c, who, limit=50, cursor=cursor, state=known, mine=mine),
    )
    counts = service.read(lambda c: reading.counts_by_state(c, who))
    facts: dict[str, Any] = {
        "found": found,
        "counts": counts,
        "mine": mine,
        "chosen": known or "",
        "states": metrics.STATES,
        "directions": metrics.directions(request.app, service),
        "active": any(one["state"] not in schema.TERMINAL for one in found["items"]),
    }
    return page(request, "searches.html", who, **facts)


@routes.get("/{search}")
def show_search(search: Identifier, request: Request, service: Here, who: Visitor) -> Response:
    """One search: as it gets on, and its result once it has one."""
    return _shown(request, service, who, search)


@routes.get("/{search}/live")
def live(search: Identifier, service: Here, who: Visitor) -> Response:
    """The part of a search's page that changes; at its end, the browser is told to load the whole page."""
    found = service.read(lambda c: reading.find_search(c, who, search))
    if found["state"] in schema.TERMINAL:
        return Response(status_code=200, headers={"HX-Redirect": f"/searches/{search}"})
    return HTMLResponse(
        render("live.html", **watched(service, found), by_itself=True), headers={"Content-Security-Policy": PAGE}
    )


@routes.post("/{search}/cancel")
def cancel_search(search: Identifier, service: Here, who: Poster) -> Response:
    """Ask for the end of a search."""
    tracked = service.settings.tracking_uri is not None
    service.write(lambda c: changing.cancel_search(c, who, search, tracked=tracked))
    return see(f"/searches/{search}?said=cancelled")


@routes.post("/{search}/resume")
def resume_search(search: Identifier, request: Request, service: Here, who: Poster, form: Form) -> Response:
    """Let a search that has ended continue, with more trials where they are given."""
    asked = text_of(form, "trials")
    try:
        trials = _whole(asked) if asked else None
        service.write(lambda c: changing.resume_search(c, who, search, trials=trials, time_budget=None))
    except LossSearchError as error:
        status, problem = described(error)
        return _shown(request, service, who, search, status, problem)
    return see(f"/searches/{search}?said=resumed")


@routes.post("/{search}/delete")
def delete_search(search: Identifier, request: Request, service: Here, who: Poster) -> Response:
    """Delete a search that has ended, with its files."""
    try:
        tracked = service.settings.tracking_uri is not None
        service.write(lambda c: changing.delete_search(c, who, search, tracked=tracked))
    except LossSearchError as error:
        status, problem = described(error)
        return _shown(request, service, who, search, status, problem)
    service.artifacts.delete(search)
    return see("/searches?said=deleted")


def _shown(
    request: Request, service: Service, who: Principal, search: str, status: int = 200, problem: str | None = None
) -> Response:
    found = service.read(lambda c: reading.find_search(c, who, search))
    facts = watched(service, found)
    if found["state"] in schema.TERMINAL:
        facts |= results.facts(service, found)
    return page(request, "search.html", who, status=status, problem=problem, **facts)


def watched(service: Service, search: dict[str, Any]) -> dict[str, Any]:
    """What is shown of a search as it gets on."""
    identifier = search["id"]
    stages = service.read(lambda c: progress.list_stages(c, identifier))
    leaders = service.artifacts.trials(identifier, sort="value", limit=LEADERS)
    return {
        "search": search,
        "stages": stages,
        "leaders": leaders["items"],
        "counts": leaders["counts"],
        "notes": service.read(lambda c: progress.list_notes(c, identifier)),
        "chart": chart(service.read(lambda c: service.values.of(c, identifier))),
        "metric": metrics.metric_of(service, search),
    }


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise InputError(f"trials must be a whole number, got {shown(text)}")
    return int(text)
