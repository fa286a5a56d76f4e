"""Searches of which MLflow misses something: entered at their end, told again after a while until nothing is missing.

As with searches, whoever tells it holds a lease, and each of its writes names attempt and holder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, delete, or_, select, update

from losssearch.storage.engine import Database
from services import events
from services.database import bound_pauses, now
from services.queue.errors import LeaseLostError, NoSearchError
from services.queue.rows import change, locked, plain
from services.queue.timing import FIRST_SYNC, GIVEN_UP, LAST_SYNC, LEASE
from services.schema import FAILED, TERMINAL, search, sync, team


@dataclass(frozen=True)
class SyncClaim:
    """A search that MLflow is to be told of.

    ``number`` is the attempt of the search itself that ended last, ``failed`` whether it ended as failed.
    """

    search: str
    number: int
    attempt: int
    holder: str
    team_name: str
    failed: bool = False


def miss(connection: Connection, identifier: str, problem: str) -> None:
    """Enter a search that ends in this transaction as one of which MLflow misses something."""
    at = now(connection)
    meet(connection, identifier)
    connection.execute(
        sync.insert().values(
            search_id=identifier, since=at, due=at + FIRST_SYNC, tries=0, problem=plain(problem), attempt=0
        )
    )


def left_open(connection: Connection, row: RowMapping) -> None:
    """Enter a search that nobody runs and that ends in this transaction, if it was begun: its run is still open."""
    if row["attempt"]:
        miss(connection, row["id"], "the search ended while no worker ran it")


def meet(connection: Connection, identifier: str) -> None:
    """Take a search off that list, as one that MLflow has been told all of, or is told by its study again."""
    connection.execute(delete(sync).where(sync.c.search_id == identifier))


def claim_sync(
    database: Database, holder: str, *, lease: float = LEASE, overdue: float = 0.0, patient: bool = True
) -> SyncClaim | None:
    """Take the search that has been due for the longest; None where none has been for ``overdue`` seconds.

    Args:
        database: the service's.
        holder: a name that no other claim has had.
        lease: seconds until another may take it, unless `beat_sync` is called.
        overdue: seconds.
        patient: whether to wait for a server that restarts.
    """

    def found(connection: Connection) -> Any:
        at = now(connection)
        free = or_(sync.c.holder.is_(None), sync.c.lease_until < at)
        return (
            select(sync.c.search_id, sync.c.attempt, search.c.attempt.label("number"), team.c.name, search.c.state)
            .join(search, search.c.id == sync.c.search_id)
            .join(team, team.c.id == search.c.team_id)
            .where(and_(sync.c.due <= at - overdue, free, search.c.state.in_(TERMINAL)))
            .order_by(sync.c.due, sync.c.search_id)
            .limit(1)
        )

    def work(connection: Connection) -> SyncClaim | None:
        bound_pauses(connection)
        row = connection.execute(found(connection).with_for_update(skip_locked=True, of=sync)).first()
        if row is None:
            return None
        values = {"attempt": row.attempt + 1, "holder": holder, "lease_until": now(connection) + lease}
        connection.execute(update(sync).where(sync.c.search_id == row.search_id).values(values))
        return SyncClaim(row.search_id, row.number, row.attempt + 1, holder, row.name, row.state == FAILED)

    if database.run(lambda connection: connection.execute(found(connection)).first(), reads=True, patient=patient):
        return database.run(work, patient=patient)
    return None


def beat_sync(database: Database, claim: SyncClaim, *, lease: float = LEASE, patient: bool = True) -> None:
    """Renew the lease.

    Raises:
        LeaseLostError: it is another's, or the search continues, or was deleted.
    """

    def work(connection: Connection) -> None:
        until = update(sync).where(_mine(claim)).values(lease_until=now(connection) + lease)
        if not connection.execute(until).rowcount:
            raise LeaseLostError(f"only who holds a search may tell MLflow of it, {claim.search} is another's")

    database.run(work, patient=patient)


def synced(database: Database, claim: SyncClaim, run: str | None) -> None:
    """Note that MLflow has all of a search, as this run; or, with None, that there is nothing to tell.

    Nothing happens where the claim is no longer ours.
    """

    def work(connection: Connection) -> None:
        try:
            row = locked(connection, claim.search)
        except NoSearchError:
            return
        if connection.execute(delete(sync).where(_mine(claim))).rowcount:
            if run is not None:
                text = "MLflow has all of this search now"
                events.write(connection, claim.search, [events.Event("note", {"text": text}, key=f"synced {run}"[:64])])
            change(connection, row, mlflow_run=run or row["mlflow_run"])

    database.run(work)


def sync_later(database: Database, claim: SyncClaim, problem: str | None) -> None:
    """Let it be told again after a while, and keep why it could not be; None gives it back as if it had not been tried.

    Nothing happens where the claim is no longer ours.
    """

    def work(connection: Connection) -> None:
        try:
            row = locked(connection, claim.search)
        except NoSearchError:
            return
        kept = connection.execute(select(sync).where(_mine(claim))).mappings().first()
        if kept is None:
            return
        at = now(connection)
        values: dict[str, Any] = {"holder": None, "lease_until": None, "due": at}
        if problem is not None:
            wait = min(FIRST_SYNC * 2 ** (kept["tries"] + 1), LAST_SYNC)
            due = at + wait if at - kept["since"] < GIVEN_UP else None
            values |= {"due": due, "tries": kept["tries"] + 1, "problem": plain(problem)}
        connection.execute(update(sync).where(_mine(claim)).values(values))
        change(connection, row)

    database.run(work)


def _mine(claim: SyncClaim) -> Any:
    return and_(sync.c.search_id == claim.search, sync.c.attempt == claim.attempt, sync.c.holder == claim.holder)
