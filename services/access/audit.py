"""The audit log: who changed what, and when."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from losssearch.redaction import redacted
from services import schema
from services.access.principal import Principal
from services.database import now


def record(connection: Connection, who: Principal | None, action: str, thing: str, **detail: Any) -> None:
    """Enter one change, in the transaction that makes it.

    Args:
        connection: that transaction.
        who: who asked; None for the service itself, or somebody unknown.
        action: what was done, such as ``search.create``.
        thing: the id or name of what it was done to.
        detail: further facts, without secrets.
    """
    entry = {
        "at": now(connection),
        "user_id": who and who.user,
        "team_id": who and who.team,
        "action": action,
        "object": thing[:200],
        "detail": redacted(detail),
    }
    connection.execute(schema.audit.insert().values(entry))
