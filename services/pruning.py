"""What the database forgets, once an hour: events, the audit log, failures, and what has ended long ago."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from services import events, schema
from services.access import failures, known, sessions, tokens
from services.database import now

TOKENS_KEPT = 30 * 86_400.0
"""Seconds for which a token that was revoked or has expired is still listed."""

DAY = 86_400.0


def prune(connection: Connection, audit_days: int) -> None:
    """Delete what is no longer kept.

    Args:
        connection: a transaction.
        audit_days: days for which the audit log is kept.
    """
    events.prune(connection)
    connection.execute(delete(schema.audit).where(schema.audit.c.at < now(connection) - audit_days * DAY))
    failures.prune(connection)
    sessions.prune(connection)
    known.prune(connection)
    tokens.prune(connection, TOKENS_KEPT)
