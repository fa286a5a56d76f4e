"""``/v1/searches``: asked for, listed, shown, cancelled, continued, deleted."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from services.access.principal import Principal
from services.api import answers
from services.api.bodies import JSON, Cursor, Identifier, Limit, NewSearch, Resume, State
from services.api.guard import Asks, Writer
from services.api.problems import documented
from services.api.service import Here, Service
from services.changing import searches as changing
from services.reading import searches as reading
from services.reading import written

routes = APIRouter(prefix="/v1/searches", tags=["searches"])


@routes.get("")
def list_searches(
    asker: Asks,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[State | None, Query(description="Only searches in this state.")] = None,
    mine: Annotated[bool, Query(description="Only those of who asks.")] = False,
) -> answers.Searches:
    """The searches of the team, the newest first."""
    found = asker.read(lambda c, who: written.searches_json(c, who, limit=limit, cursor=cursor, state=state, mine=mine))
    # Written as `answers.Searches` says, as are others that are asked for all the time.
    return Response(found, media_type=JSON)  # type: ignore[return-value]


@routes.post("", status_code=201, responses=documented(404, 409))
def create_search(
    body: NewSearch,
    service: Here,
    who: Writer,
    response: Response,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=200,
            pattern=r"^[\x21-\x7e]+$",
            description="Of requests with one key, the first makes a search and the others give it.",
        ),
    ] = None,
) -> answers.Search:
    """Ask for a search; it waits until a worker is free."""
    made = service.write(
        lambda c: changing.create_search(c, who, dataset=body.dataset, name=body.name, request=body.request, key=key)
    )
    response.headers["Location"] = f"/v1/searches/{made}"
    return _search(service, who, made)


@routes.get("/{search}", responses={**documented(404), 304: {"description": "It is as `If-None-Match` says."}})
def show_search(
    search: Identifier,
    asker: Asks,
    known: Annotated[str | None, Header(alias="If-None-Match", max_length=1000)] = None,
) -> answers.Search:
    """One search; `ETag` and `If-None-Match` spare what is known."""
    found, revision = asker.read(lambda c, who: written.search_json(c, who, search))
    tag = f'"{revision}"'
    if known is not None and tag in {one.strip().removeprefix("W/") for one in known.split(",")}:
        return Response(status_code=304, headers={"ETag": tag})  # type: ignore[return-value]
    return Response(found, media_type=JSON, headers={"ETag": tag})  # type: ignore[return-value]


@routes.post("/{search}/cancel", responses=documented(404))
def cancel_search(search: Identifier, service: Here, who: Writer) -> answers.Search:
    """Ask for its end; a search that has ended stays as it is."""
    service.write(lambda c: changing.cancel_search(c, who, search, tracked=service.settings.tracking_uri is not None))
    return _search(service, who, search)


@routes.post("/{search}/resume", responses=documented(404, 409))
def resume_search(search: Identifier, body: Resume, service: Here, who: Writer) -> answers.Search:
    """Let a search that has ended continue, with more trials or seconds where they are given."""
    service.write(lambda c: changing.resume_search(c, who, search, trials=body.trials, time_budget=body.time_budget))
    return _search(service, who, search)


@routes.delete("/{search}", status_code=204, responses=documented(404, 409))
def delete_search(search: Identifier, service: Here, who: Writer) -> None:
    """Delete a search that has ended, with its files; a worker deletes its runs in MLflow soon after."""
    service.write(lambda c: changing.delete_search(c, who, search, tracked=service.settings.tracking_uri is not None))
    service.artifacts.delete(search)


def _search(service: Service, who: Principal, search: str) -> answers.Search:
    return answers.Search.model_validate(service.read(lambda c: reading.find_search(c, who, search)))
