"""A new search in three steps: the dataset, the target, the question. Each step is an address, so that none is lost."""

from __future__ import annotations

import re
import secrets
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from losssearch.errors import InputError, LossSearchError, shown
from losssearch.request.bundled import MODEL_NAMES
from services.access.principal import MissingError, Principal
from services.access.quotas import request_limits
from services.api.headers import PAGE
from services.api.service import Here, Service
from services.changing import searches as changing
from services.pages.fairness import group_sizes, groupable
from services.pages.question import Fields, from_form, from_query, guessed_task, request_of
from services.pages.rendering import page, render
from services.pages.visiting import Form, PageRoute, Poster, Visitor, described, see
from services.reading import datasets as reading
from services.reading import progress
from services.uploads.limits import FORMATS

routes = APIRouter(prefix="/searches", route_class=PageRoute, include_in_schema=False)

TRIALS = (16, 64, 128, 256)
"""Numbers of trials whose time is estimated."""

USUAL_TRIALS = 64


@routes.get("/new")
def new_search(request: Request, service: Here, who: Visitor) -> Response:
    """The next step of a new search; what was chosen so far is in the address."""
    return _step(request, service, who, from_query(request.query_params))


@routes.get("/new/groups")
def groups(request: Request, service: Here, who: Visitor) -> Response:
    """The part of the form that tells the groups' sizes and the noise floor, after another column was chosen."""
    fields = from_query(request.query_params)
    facts = _question(service, who, fields)
    return HTMLResponse(render("groups.html", **facts), headers={"Content-Security-Policy": PAGE})


@routes.post("")
def create_search(request: Request, service: Here, who: Poster, form: Form) -> Response:
    """Ask for a search, or say what is wrong with the form."""
    fields = from_form(form)
    try:
        _require_printable(fields)
        options = request_of(fields, service.catalogue.tasks())
        made = service.write(
            lambda c: changing.create_search(
                c, who, dataset=fields.dataset, name=fields.title, request=options, key=fields.key or None
            )
        )
    except MissingError:
        raise
    except LossSearchError as error:
        status, problem = described(error)
        return _step(request, service, who, fields, status, problem)
    return see(f"/searches/{made}?said=created")


def _require_printable(fields: Fields) -> None:
    """Raise `InputError` for a name or a key that the API would not take either: a form may be anybody's own."""
    if fields.name and not re.fullmatch(r"[^\x00-\x1f\x7f]{1,100}", fields.name):
        raise InputError(f"name must be 1 to 100 printable characters, got {shown(fields.name)}")
    if not re.fullmatch(r"[\x21-\x7e]{0,200}", fields.key):
        raise InputError(f"key must be as the page had it, got {shown(fields.key)}: load the page again")


def _step(
    request: Request, service: Service, who: Principal, fields: Fields, status: int = 200, problem: str | None = None
) -> Response:
    facts: dict[str, Any] = {"status": status, "problem": problem, "fields": fields}
    if not fields.dataset:
        found = service.read(lambda c: reading.list_datasets(c, who, limit=200))
        ready = [one for one in found["items"] if one["state"] == "ready"]
        most = service.settings.max_upload
        return page(request, "new_dataset.html", who, ready=ready, formats=FORMATS, most=most, **facts)
    dataset = service.read(lambda c: reading.find_dataset(c, who, fields.dataset))
    preview = service.read(lambda c: reading.dataset_schema(c, who, fields.dataset))
    if preview is None:
        return see(f"/datasets/{fields.dataset}")
    names = [column["name"] for column in preview["columns"]]
    if fields.target not in names:
        return page(request, "new_target.html", who, dataset=dataset, preview=preview, **facts)
    return page(request, "new_search.html", who, **{**facts, **_question(service, who, fields)})


def _question(service: Service, who: Principal, fields: Fields) -> dict[str, Any]:
    """What the last step shows."""
    dataset = service.read(lambda c: reading.find_dataset(c, who, fields.dataset))
    preview = service.read(lambda c: reading.dataset_schema(c, who, fields.dataset)) or {"columns": [], "rows_seen": 0}
    target = next((one for one in preview["columns"] if one["name"] == fields.target), None)
    if target is None:
        raise MissingError(f"there is no column {fields.target[:80]!r}")
    tasks = service.catalogue.tasks()
    task = fields.task if fields.task in tasks else guessed_task(target, preview["rows_seen"])
    limits = service.read(lambda c: request_limits(c, who.team))
    others = [one for one in preview["columns"] if one["name"] != fields.target]
    grouped = {one["name"] for one in others if groupable(one)}
    return {
        "fields": fields,
        "key": secrets.token_urlsafe(12),
        "dataset": dataset,
        "preview": preview,
        "target": target,
        "task": task,
        "tasks": list(tasks),
        "own_metric": tasks[task]["metric"],
        "gaps": tasks[task]["gaps"],
        "metrics": [one for one in service.catalogue.metrics() if one["task"] == task],
        "columns": others,
        "groupable": [one for one in others if one["name"] in grouped],
        "cuts": [one for one in fields.chosen("sensitive") if one not in grouped],
        "groups": group_sizes(service, fields, dataset, preview, target, task),
        "spaces": [one for one in service.catalogue.spaces() if one["task"] == task],
        "models": MODEL_NAMES,
        "limits": limits,
        "pace": service.read(lambda c: progress.pace(c, who, fields.dataset)),
        "estimated": [number for number in TRIALS if number <= limits.trials],
        "usual_trials": min(USUAL_TRIALS, limits.trials),
    }
