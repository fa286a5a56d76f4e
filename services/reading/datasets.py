"""Datasets of a team, in lists and with their schema."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, Select, select

from services import schema
from services.access.principal import MissingError, Principal
from services.reading.cursor import paged

AWAITED = ("receiving", "converting")
"""States of a dataset whose content somebody receives or converts."""

_FIELDS = ("id", "name", "state", "bytes", "digest", "rows", "columns", "problem", "created")


def list_datasets(
    connection: Connection, who: Principal, *, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """The team's datasets, the newest first: ``items`` without their schema, and ``next``."""
    rows, following = paged(connection, _of_team(who), schema.dataset, limit, cursor)
    return {"items": [_shown(row) for row in rows], "next": following}


def find_dataset(connection: Connection, who: Principal, dataset: str) -> dict[str, Any]:
    """One dataset of the team, without its schema."""
    return _shown(_row(connection, who, dataset))


def list_awaited(connection: Connection) -> list[str]:
    """The ids of datasets, of whatever team, whose content is being received or converted."""
    dataset = schema.dataset.c
    return [str(one) for one in connection.execute(select(dataset.id).where(dataset.state.in_(AWAITED))).scalars()]


def dataset_schema(connection: Connection, who: Principal, dataset: str) -> dict[str, Any] | None:
    """What was inferred of its columns, as `services.uploads.preview.preview` gives it; None before it is ready."""
    found: dict[str, Any] | None = _row(connection, who, dataset)["schema"]
    return found


def _row(connection: Connection, who: Principal, dataset: str) -> RowMapping:
    row = connection.execute(_of_team(who).where(schema.dataset.c.id == dataset)).mappings().first()
    if row is None:
        raise MissingError(f"there is no dataset {dataset!r}")
    return row


def _of_team(who: Principal) -> Select[Any]:
    return (
        select(schema.dataset, schema.user.c.name.label("owner_name"))
        .join(schema.user, schema.user.c.id == schema.dataset.c.owner_id)
        .where(schema.dataset.c.team_id == who.team)
    )


def _shown(row: RowMapping | dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _FIELDS} | {"owner": {"id": row["owner_id"], "name": row["owner_name"]}}
