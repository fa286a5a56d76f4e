"""Changing the row of a search: the one place that raises its revision and notes its state."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from losssearch.redaction import redact
from services import events
from services.database import bound_pauses, now
from services.queue.errors import NoSearchError
from services.schema import search


def locked(connection: Connection, identifier: str) -> RowMapping:
    """The row of a search, which nobody else changes until the transaction ends.

    Raises:
        NoSearchError: there is none.
    """
    bound_pauses(connection)
    row = connection.execute(select(search).where(search.c.id == identifier).with_for_update()).mappings().first()
    if row is None:
        raise NoSearchError(f"there is no search {identifier!r:.50}")
    return row


def change(connection: Connection, row: RowMapping, **values: Any) -> None:
    """Write to a locked row; a state that changes becomes an event."""
    if "message" in values:
        values["message"] = plain(values["message"])
    revision = row["revision"] + 1
    at = now(connection)
    connection.execute(
        update(search).where(search.c.id == row["id"]).values(values | {"revision": revision, "updated": at})
    )
    state = values.get("state", row["state"])
    if state != row["state"]:
        told(connection, row["id"], state, revision, values.get("message", ""))


def told(connection: Connection, identifier: str, state: str, revision: int, message: str = "") -> None:
    """Write the event of a new state."""
    data = {"state": state} | ({"message": message} if message else {})
    events.write(connection, identifier, [events.Event("state", data, key=str(revision))])


def plain(message: str) -> str:
    """A message as every database takes it, without secrets and of bounded length."""
    return redact(message).replace("\x00", "").encode("utf-8", "replace").decode("utf-8")[-20_000:]
