"""``/v1/searches/{search}/events``: pages of JSON, or a stream that continues where it was broken off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import Connection, func, select

from services import schema
from services.access.principal import MissingError, Principal
from services.access.standing import standing
from services.api import answers
from services.api.bodies import JSON, WHOLE, Identifier, Limit
from services.api.guard import Asks, Sees
from services.api.problems import documented
from services.api.service import Here, Service
from services.api.streams import PAGE, Seen, Source
from services.reading import searches as reading
from services.reading import written

routes = APIRouter(prefix="/v1/searches", tags=["events"])

After = Annotated[int, Query(ge=0, le=WHOLE, description="The `id` of the last event that is known.")]

RETRY = 2_000
"""Milliseconds after which a browser connects again."""

_PROGRESS = ("state", "stage", "done", "total", "best", "message", "revision")


@routes.get("/{search}/events", responses=documented(404))
def list_events(search: Identifier, asker: Asks, after: After = 0, limit: Limit = 100) -> answers.Events:
    """Events after a number, in their order; they are kept for 30 days."""

    def read(connection: Connection, who: Principal) -> bytes:
        reading.require_search(connection, who, search)
        return written.events_json(connection, search, after, limit)

    # Written as `answers.Events` says, without reading what the events hold.
    found = asker.read(read)
    return Response(found, media_type=JSON)  # type: ignore[return-value]


async def _one_more(service: Here, who: Sees) -> Principal:
    """Who asks, once the search is seen and one more stream may be: once a stream has begun, it has no status."""
    service.streams.require_room(who.user)
    return who


@routes.get("/{search}/events/stream", response_class=EventSourceResponse, responses=documented(404))
async def stream_events(
    search: Identifier,
    service: Here,
    who: Annotated[Principal, Depends(_one_more)],
    after: After = 0,
    last: Annotated[
        str | None,
        Header(alias="Last-Event-ID", max_length=30, description="In place of `after`, as browsers send it."),
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Events as they happen, each with its `id`; `progress` whenever the search changes, and `end` at its end."""
    begin = int(last) if last is not None and last.isdecimal() and int(last) <= WHOLE else after
    revision = None

    def look(asked: Collection[Principal]) -> set[Principal]:
        return service.read(lambda c: standing(c, asked))

    async for seen, found, ended in service.streams.follow(who, search, begin, source_of(service, who, search), look):
        for event in found:
            yield ServerSentEvent(data=event, event=event["kind"], id=str(event["id"]), retry=RETRY)
        if seen["revision"] != revision:
            revision = seen["revision"]
            yield ServerSentEvent(data={name: seen[name] for name in _PROGRESS}, event="progress")
        if ended and len(found) < PAGE:
            yield ServerSentEvent(data={"state": seen["state"]}, event="end")


def source_of(service: Service, who: Principal, search: str) -> Source:
    """How the streams look at a search."""

    def mark(connection: Connection) -> tuple[Any, ...] | None:
        latest = select(func.max(schema.event.c.id)).where(schema.event.c.search_id == search).scalar_subquery()
        row = connection.execute(select(schema.search.c.revision, latest).where(schema.search.c.id == search)).first()
        return None if row is None else tuple(row)

    def read(connection: Connection, after: int) -> Seen | None:
        try:
            found = reading.find_search(connection, who, search)
        except MissingError:
            return None
        return found, reading.list_events(connection, search, after, PAGE), found["state"] in schema.TERMINAL

    return Source(lambda: service.read(mark), lambda after: service.read(lambda c: read(c, after)))
