"""Searches of a team: in lists, one in full, their events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Text, bindparam, cast, func, select

from services import events, schema
from services.access.principal import MissingError, Principal
from services.reading.cursor import paged

_FIELDS = (
    *("id", "name", "state", "created", "updated", "started", "ended", "stage", "done", "total", "best"),
    *("message", "exit_code", "mlflow_run", "revision"),
)

_CONTENT = ("request", "summary")
"""Columns of JSON."""

_SEEN = select(schema.search.c.id).where(
    (schema.search.c.id == bindparam("search")) & (schema.search.c.team_id == bindparam("team"))
)


def of_team(*, as_text: bool = False) -> Select[Any]:
    """The searches of ``team``, a parameter, with all that is shown of them; ``as_text`` leaves their JSON unread."""
    search = schema.search.c
    return (
        select(
            *(search[name] for name in (*_FIELDS, "owner_id", "dataset_id")),
            *(cast(search[name], Text).label(name) if as_text else search[name] for name in _CONTENT),
            schema.user.c.name.label("owner_name"),
            schema.dataset.c.name.label("dataset_name"),
            *(schema.sync.c[name].label(f"sync_{name}") for name in ("search_id", "due", "tries", "problem")),
        )
        .join(schema.user, schema.user.c.id == search.owner_id)
        .join(schema.dataset, schema.dataset.c.id == search.dataset_id)
        .outerjoin(schema.sync, schema.sync.c.search_id == search.id)
        .where(search.team_id == bindparam("team"))
    )


# Made once: most requests ask one of these.
_OF_TEAM = of_team()
_ONE = _OF_TEAM.where(schema.search.c.id == bindparam("search"))


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
    chosen = those(_OF_TEAM, who, state=state, mine=mine)
    rows, following = paged(connection, chosen, schema.search, limit, cursor)
    return {"items": [_shown(row) for row in rows], "next": following}


def those(chosen: Select[Any], who: Principal, *, state: str | None, mine: bool) -> Select[Any]:
    """Of `of_team`, the searches of who asks in a state; see `list_searches`."""
    chosen = chosen.params(team=who.team)
    if state is not None:
        chosen = chosen.where(schema.search.c.state == state)
    return chosen.where(schema.search.c.owner_id == who.user) if mine else chosen


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


def _shown(row: Mapping[str, Any] | RowMapping) -> dict[str, Any]:
    return plain_fields(row) | {name: row[name] for name in _CONTENT}


def plain_fields(row: Mapping[str, Any] | RowMapping) -> dict[str, Any]:
    """What is shown of a row of `of_team`, but for its JSON."""
    return {name: row[name] for name in _FIELDS} | {
        "owner": {"id": row["owner_id"], "name": row["owner_name"]},
        "dataset": {"id": row["dataset_id"], "name": row["dataset_name"]},
        "tracking": _tracking(row),
    }


def _tracking(row: Mapping[str, Any] | RowMapping) -> dict[str, Any] | None:
    """Whether MLflow has all of a search that has ended; None before its end, and where nothing is tracked."""
    if row["sync_search_id"] is not None:
        told = {"problem": row["sync_problem"], "tries": row["sync_tries"], "next": row["sync_due"]}
        return {"complete": False, **told}
    ended = row["mlflow_run"] and row["state"] in schema.TERMINAL
    return {"complete": True, "problem": "", "tries": 0, "next": None} if ended else None
