"""What happened in a search, in order: written once each, read after a number, kept for 30 days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from losssearch.redaction import redacted
from services.database import now
from services.schema import event

KEPT = 30 * 86400.0
"""Seconds that an event is kept."""

NO_TRIAL = -1

_A_TIME = 500

_FOLLOWING = (
    select(event.c.kind, event.c.data, event.c.trial, event.c.key, event.c.id, event.c.at)
    .where((event.c.search_id == bindparam("search")) & (event.c.id > bindparam("after")))
    .order_by(event.c.id)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True)
class Event:
    """Something that happened. Of equal (kind, trial, key) within a search only the first is kept.

    ``number`` and ``at`` are known once it was written: clients ask for what came after a number.
    """

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    trial: int = NO_TRIAL
    key: str = ""
    number: int = 0
    at: float = 0.0


def write(connection: Connection, search: str, events: Sequence[Event]) -> int:
    """Add the events of a search that are not there yet, without secrets, and return how many those were."""
    if not events:
        return 0
    at = now(connection)
    rows = [
        {
            "search_id": search,
            "kind": one.kind,
            "trial": one.trial,
            "key": one.key,
            "at": at,
            "data": redacted(dict(one.data)),
        }
        for one in events
    ]
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(event)
    return len(connection.execute(insert.on_conflict_do_nothing().returning(event.c.id), rows).all())


def read(connection: Connection, search: str, after: int = 0, limit: int = _A_TIME) -> list[Event]:
    """At most ``limit`` events of a search whose number is above ``after``, in their order."""
    found = connection.execute(_FOLLOWING, {"search": search, "after": after, "limit": limit})
    return [Event(kind, data, trial, key, number, at) for kind, data, trial, key, number, at in found.all()]


def prune(connection: Connection) -> int:
    """Delete what is older than `KEPT`; how many events that were."""
    return connection.execute(delete(event).where(event.c.at < now(connection) - KEPT)).rowcount
