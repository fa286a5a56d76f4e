"""Deleted searches whose runs in MLflow are still to be deleted: it may be away, and the API may not reach it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from services.database import now
from services.schema import discarded

FIRST_WAIT, LONGEST_WAIT = 60.0, 3600.0
"""Seconds between two tries: the first, doubled each time, and the longest."""

GIVEN_UP = 30 * 86_400.0
"""Seconds after which nobody tries any more."""


@dataclass(frozen=True)
class Discarded:
    """A search whose runs are to be deleted, and the MLflow experiment that they are in."""

    search: str
    experiment: str


def discard(connection: Connection, search: str, experiment: str) -> None:
    """Let a worker delete the runs of ``search``, in the transaction that deletes it."""
    at = now(connection)
    connection.execute(
        discarded.insert().values(search_id=search, experiment=experiment, not_before=at, tries=0, created=at)
    )


def take_discarded(connection: Connection) -> Discarded | None:
    """The next search whose runs are to be deleted, which nobody else then takes for a while; None if there is none."""
    at = now(connection)
    connection.execute(delete(discarded).where(discarded.c.created < at - GIVEN_UP))
    due = select(discarded).where(discarded.c.not_before <= at).order_by(discarded.c.not_before).limit(1)
    row = connection.execute(due.with_for_update(skip_locked=True)).mappings().first()
    if row is None:
        return None
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(row["tries"], 10))
    mine = discarded.c.search_id == row["search_id"]
    connection.execute(update(discarded).where(mine).values(not_before=at + wait, tries=row["tries"] + 1))
    return Discarded(row["search_id"], row["experiment"])


def has_discarded(connection: Connection) -> bool:
    """Whether there is one to take; a transaction that may only read is enough."""
    due = select(discarded.c.search_id).where(discarded.c.not_before <= now(connection))
    return connection.execute(due.limit(1)).first() is not None


def gone(connection: Connection, search: str) -> None:
    """Note that the runs of ``search`` are deleted."""
    connection.execute(delete(discarded).where(discarded.c.search_id == search))
