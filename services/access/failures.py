"""Limits on failed logins and tokens, counted in the database, so that all processes of the service count together."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, func, select

from services import schema
from services.access.principal import TooManyError
from services.database import now

WINDOW = 900.0
"""Seconds for which a failure counts."""

MOST = {"login": 10, "login-ip": 50, "token-ip": 100}
"""Failures within `WINDOW` after which no more attempts are looked at, by the first part of the key."""


def require_few(connection: Connection, keys: Iterable[str]) -> None:
    """Raise `TooManyError` if one of ``keys``, such as ``login:NAME``, has failed too often."""
    since = now(connection) - WINDOW
    for key in keys:
        recent = (schema.failure.c.key == key) & (schema.failure.c.at > since)
        count, first = connection.execute(select(func.count(), func.min(schema.failure.c.at)).where(recent)).one()
        if count >= MOST[key.partition(":")[0]]:
            wait = max(1.0, first - since)
            raise TooManyError(f"too many failures: wait {wait:.0f} s, and try again", wait)


def failed(connection: Connection, keys: Iterable[str]) -> None:
    """Count a failure for each of ``keys``, and forget those that count no more."""
    at = now(connection)
    connection.execute(delete(schema.failure).where(schema.failure.c.at <= at - WINDOW))
    connection.execute(schema.failure.insert(), [{"key": key[:200], "at": at} for key in keys])
