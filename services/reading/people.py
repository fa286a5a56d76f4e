"""Tokens, users, teams, workers and the audit log."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from services import schema
from services.access.principal import Principal

_TOKEN = ("id", "name", "prefix", "scope", "expires", "revoked", "last_used", "created")
_USER = ("id", "name", "team_id", "role", "disabled", "created")


def list_tokens(connection: Connection, user: str) -> list[dict[str, Any]]:
    """The tokens of a user, the newest first, without their secrets."""
    chosen = select(schema.token).where(schema.token.c.user_id == user).order_by(schema.token.c.created.desc())
    return [{name: row[name] for name in _TOKEN} for row in connection.execute(chosen).mappings()]


def list_users(connection: Connection) -> list[dict[str, Any]]:
    """All users by name, for an admin."""
    chosen = select(schema.user).order_by(schema.user.c.name)
    return [{name: row[name] for name in _USER} for row in connection.execute(chosen).mappings()]


def list_teams(connection: Connection) -> list[dict[str, Any]]:
    """All teams by name with their quotas, for an admin."""
    return [dict(row) for row in connection.execute(select(schema.team).order_by(schema.team.c.name)).mappings()]


def team_quotas(connection: Connection, who: Principal) -> dict[str, Any]:
    """The quotas of the team of who asks, and its ``name``."""
    chosen = select(schema.team).where(schema.team.c.id == who.team)
    return dict(connection.execute(chosen).mappings().one())


def list_workers(connection: Connection) -> list[dict[str, Any]]:
    """The workers, whoever was seen last first."""
    chosen = select(schema.worker).order_by(schema.worker.c.seen.desc())
    return [dict(row) for row in connection.execute(chosen).mappings()]


def list_audit(connection: Connection, *, before: int | None = None, limit: int = 100) -> dict[str, Any]:
    """Entries of the audit log, the newest first: ``items``, and ``next`` to give as ``before``."""
    user = schema.user.c.name.label("user_name")
    chosen = select(schema.audit, user).outerjoin(schema.user, schema.user.c.id == schema.audit.c.user_id)
    if before is not None:
        chosen = chosen.where(schema.audit.c.id < before)
    rows = connection.execute(chosen.order_by(schema.audit.c.id.desc()).limit(limit + 1)).mappings().all()
    items = [dict(row) for row in rows[:limit]]
    return {"items": items, "next": items[-1]["id"] if len(rows) > limit else None}
