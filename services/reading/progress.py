"""How a search gets on: its stages, its notes, the values of its trials; and how long earlier ones took."""

from __future__ import annotations

import statistics
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from services import schema
from services.access.principal import Principal

NOTES = 30
"""The newest notes that are shown."""

_ENDED = (schema.DONE, schema.UNMET)

_VALUES = (
    select(
        schema.event.c.id,
        schema.event.c.trial,
        schema.event.c.data["value"].as_float(),
        schema.event.c.data["best"].as_float(),
    )
    .where((schema.event.c.search_id == bindparam("search")) & (schema.event.c.kind == "trial"))
    .where(schema.event.c.id > bindparam("after"))
    .order_by(schema.event.c.id)
)


def list_stages(connection: Connection, search: str) -> list[dict[str, Any]]:
    """The stages that have begun, in their order: ``name``, ``title``, ``total`` and when, ``at``."""
    return [{**row["data"], "at": row["at"]} for row in connection.execute(_of(search, "stage")).mappings()]


def list_notes(connection: Connection, search: str) -> list[dict[str, Any]]:
    """The newest notes, the oldest first: ``text`` and ``at``."""
    chosen = _of(search, "note").order_by(None).order_by(schema.event.c.id.desc()).limit(NOTES)
    rows = connection.execute(chosen).mappings().all()
    return [{"text": str(row["data"].get("text", "")), "at": row["at"]} for row in reversed(rows)]


Value = tuple[int, float | None, float | None]
"""Of a trial that has ended: its number, its value, and the best value so far."""


class Values:
    """The values of trials in the order in which they ended; of a search that was asked for before, only new ones are
    read. Safe to use from several threads.

    Args:
        most: searches whose values are kept.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._known: dict[str, tuple[int, tuple[Value, ...]]] = {}

    def of(self, connection: Connection, search: str) -> tuple[Value, ...]:
        """The values of a search."""
        last, known = self._known.get(search, (0, ()))
        rows = connection.execute(_VALUES, {"search": search, "after": last}).all()
        if not rows:
            return known
        if len(self._known) >= self._most:
            self._known = {}
        found = (*known, *((int(number), value, best) for _, number, value, best in rows))
        self._known[search] = rows[-1][0], found
        return found


def pace(connection: Connection, who: Principal, dataset: str) -> dict[str, Any] | None:
    """How long earlier searches of the team took per trial; those of the same dataset, where there are any.

    Returns:
        ``seconds`` per trial (the median), ``searches`` (how many it is of) and whether they are of the ``same``
        dataset; None where no search of the team has finished.
    """
    search = schema.search
    took = select(search.c.dataset_id, search.c.ended - search.c.started, search.c.request).where(
        (search.c.team_id == who.team) & search.c.state.in_(_ENDED) & (search.c.ended > search.c.started)
    )
    rows = connection.execute(took.order_by(search.c.ended.desc()).limit(200)).all()
    found = [
        (row[0], row[1] / trials)
        for row in rows
        if isinstance(trials := row[2].get("trials"), int) and trials > 0 and row[2].get("time_budget") is None
    ]
    same = [seconds for of, seconds in found if of == dataset]
    chosen = same or [seconds for _, seconds in found]
    if not chosen:
        return None
    return {"seconds": statistics.median(chosen), "searches": len(chosen), "same": bool(same)}


def _of(search: str, kind: str) -> Select[Any]:
    event = schema.event
    chosen = select(event.c.data, event.c.at).where((event.c.search_id == search) & (event.c.kind == kind))
    return chosen.order_by(event.c.id)
