"""Where users have logged in from before: addresses and browsers, so that whoever guesses locks nobody out there."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from services import schema
from services.access.tokens import digest_of
from services.database import now

KEPT = 90 * 86_400.0
"""Seconds for which an address or browser is known after the last login from it."""


def address_mark(address: str) -> str:
    """The mark of an address."""
    return f"ip:{address[:90]}"


def browser_mark(secret: str) -> str:
    """The mark of a browser, by the secret that it was given at its first login."""
    return f"browser:{digest_of(secret)}"


def is_known(connection: Connection, user: str, mark: str) -> bool:
    """Whether ``user`` has logged in with this mark within `KEPT`."""
    mine = (schema.known.c.user_id == user) & (schema.known.c.mark == mark)
    seen = connection.execute(select(schema.known.c.seen).where(mine)).scalar()
    return seen is not None and seen > now(connection) - KEPT


def note(connection: Connection, user: str, *marks: str) -> None:
    """Note that ``user`` has just logged in with these marks."""
    at = now(connection)
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(schema.known)
    same = [schema.known.c.user_id, schema.known.c.mark]
    entered = insert.on_conflict_do_update(index_elements=same, set_={"seen": at})
    connection.execute(entered, [{"user_id": user, "mark": mark, "seen": at} for mark in marks])


def forget(connection: Connection, user: str, mark: str) -> None:
    """Forget a mark, as that of a browser which is given another."""
    connection.execute(delete(schema.known).where((schema.known.c.user_id == user) & (schema.known.c.mark == mark)))


def prune(connection: Connection) -> None:
    """Forget what was not seen within `KEPT`."""
    connection.execute(delete(schema.known).where(schema.known.c.seen < now(connection) - KEPT))
