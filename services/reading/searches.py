"""Searches of a team: in lists, one in full, their events."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, select

from services import events, schema
from services.access.principal import MissingError, Principal
from services.reading.cursor import paged

_FIELDS = (
    *("id", "name", "state", "created", "updated", "started", "ended", "stage", "done", "total", "best"),
    *("message", "exit_code", "mlflow_run", "revision"),
)

# Made once: most requests ask one of these.
_OF_TEAM = (
    select(
        *(schema.search.c[name] for name in (*_FIELDS, "owner_id", "dataset_id", "request", "summary")),
        schema.user.c.name.label("owner_name"),
        schema.dataset.c.name.label("dataset_name"),
        *(schema.sync.c[name].label(f"sync_{name}") for name in ("search_id", "due", "tries", "problem")),
    )
    .join(schema.user, schema.user.c.id == schema.search.c.owner_id)
    .join(schema.dataset, schema.dataset.c.id == schema.search.c.dataset_id)
    .outerjoin(schema.sync, schema.sync.c.search_id == schema.search.c.id)
    .where(schema.search.c.team_id == bindparam("team"))
)
_ONE = _OF_TEAM.where(schema.search.c.id == bindparam("search"))
_SEEN = select(schema.search.c.id).where(
    (schema.search.c.id == bindparam("search")) & (schema.search.c.team_id == bindparam("team"))
)


def list_searches(
    connection: Connection,
    who: Principal,
    *,
    limit: int = 50,
    cursor: str | None = None,
    state: str | None = None,
    mine: bool = False,
) -> dict[str, Any]:
    """The team's searches, the newest first.

    Args:
        connection: a transaction.
        who: who asks.
        limit: how many.
        cursor: ``next`` of the page before.
        state: only those in this state.
        mine: only those of who asks.

    Returns:
        ``items`` as `find_search` gives them, and ``next``, the cursor of the next page.
    """
    chosen = _OF_TEAM.params(team=who.team)
    if state is not None:
        chosen = chosen.where(schema.search.c.state == state)
    if mine:
        chosen = chosen.where(schema.search.c.owner_id == who.user)
    rows, following = paged(connection, chosen, schema.search, limit, cursor)
    return {"items": [_shown(row) for row in rows], "next": following}


def find_search(connection: Connection, who: Principal, search: str) -> dict[str, Any]:
    """One search of the team: its state, progress and request, its owner and dataset by id and name."""
    row = connection.execute(_ONE, {"team": who.team, "search": search}).mappings().first()
    if row is None:
        raise MissingError(f"there is no search {search!r}")
    return _shown(row)


def require_search(connection: Connection, who: Principal, search: str) -> None:
    """Raise `MissingError` as `find_search` does; takes less than that."""
    if connection.execute(_SEEN, {"team": who.team, "search": search}).first() is None:
        raise MissingError(f"there is no search {search!r}")


def counts_by_state(connection: Connection, who: Principal | None = None) -> dict[str, int]:
    """How many searches are in each state: of the team, or of all teams."""
    chosen = select(schema.search.c.state, func.count()).group_by(schema.search.c.state)
    if who is not None:
        chosen = chosen.where(schema.search.c.team_id == who.team)
    return {str(state): int(count) for state, count in connection.execute(chosen)}


def list_events(connection: Connection, search: str, after: int, limit: int) -> list[dict[str, Any]]:
    """Events of a search after number ``after``, in their order; the caller has seen that it may be read."""
    return [
        {"id": one.number, "kind": one.kind, "trial": None if one.trial < 0 else one.trial, "at": one.at}
        | {"data": dict(one.data)}
        for one in events.read(connection, search, after, limit)
    ]


def _shown(row: RowMapping | dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _FIELDS} | {
        "owner": {"id": row["owner_id"], "name": row["owner_name"]},
        "dataset": {"id": row["dataset_id"], "name": row["dataset_name"]},
        "request": row["request"],
        "summary": row["summary"],
        "tracking": _tracking(row),
    }


def _tracking(row: RowMapping | dict[str, Any]) -> dict[str, Any] | None:
    """Whether MLflow has all of a search that has ended; None before its end, and where nothing is tracked."""
    if row["sync_search_id"] is not None:
        told = {"problem": row["sync_problem"], "tries": row["sync_tries"], "next": row["sync_due"]}
        return {"complete": False, **told}
    ended = row["mlflow_run"] and row["state"] in schema.TERMINAL
    return {"complete": True, "problem": "", "tries": 0, "next": None} if ended else None
