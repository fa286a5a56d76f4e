"""Claiming a search: the oldest of the team with the fewest running ones, those whose worker was lost included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, RowMapping, and_, case, func, or_, select

from losssearch.storage.engine import Database
from services.database import bound_pauses, now
from services.queue.rows import change
from services.queue.syncing import left_open
from services.queue.timing import LEASE, MOST_LOST
from services.schema import ACTIVE, CANCELLED, CANCELLING, FAILED, QUEUED, RUNNING, dataset, search, team

_SWEPT = 100


@dataclass(frozen=True)
class Claim:
    """A search that a worker holds. ``attempt`` and ``holder`` stand in each of its writes.

    ``seconds`` is how long it may still run: those of its team, less those since it first started.
    """

    search: str
    attempt: int
    holder: str
    team: str
    team_name: str
    dataset: str
    dataset_name: str
    name: str
    request: dict[str, Any]
    seconds: float


def claim(
    database: Database, holder: str, *, lease: float = LEASE, tracked: bool = False, patient: bool = True
) -> Claim | None:
    """Take the next search that may run; None where there is none.

    Args:
        database: the service's.
        holder: a name that no other claim has had, such as that of `services.database.new_id`.
        lease: seconds until another may take it, unless `beat` is called.
        tracked: whether studies have runs in MLflow, which are ended for searches that end here.
        patient: whether to wait for a server that restarts.
    """
    if not database.run(_may_be_any, reads=True, patient=patient):
        return None
    return database.run(lambda connection: _claim(connection, holder, lease, tracked), patient=patient)


def _waiting(at: float) -> ColumnElement[bool]:
    return and_(search.c.state == QUEUED, search.c.not_before <= at)


def _orphaned(at: float) -> ColumnElement[bool]:
    return and_(search.c.state.in_(ACTIVE), search.c.lease_until < at)


def _may_be_any(connection: Connection) -> bool:
    at = now(connection)
    return connection.execute(select(search.c.id).where(or_(_waiting(at), _orphaned(at))).limit(1)).first() is not None


def _claim(connection: Connection, holder: str, lease: float, tracked: bool) -> Claim | None:
    bound_pauses(connection)
    mine = and_(search.c.holder == holder, search.c.state.in_(ACTIVE))
    row = connection.execute(select(search).where(mine)).mappings().first()
    if row is not None:  # the answer to an earlier commit was lost
        own = connection.execute(select(team).where(team.c.id == row["team_id"])).one()
        return _made(connection, row, row["attempt"], holder, own)
    _sweep(connection, tracked)
    for identifier in _teams(connection):
        # Claims for one team come one after the other, so that its limit holds; other writers need not wait for them.
        own = connection.execute(select(team).where(team.c.id == identifier).with_for_update(key_share=True)).one()
        row = _next_of(connection, identifier, own.max_running)
        if row is None:
            continue
        at = now(connection)
        lost = row["lost"] + (row["state"] == RUNNING)
        change(
            connection,
            row,
            state=RUNNING,
            attempt=row["attempt"] + 1,
            holder=holder,
            lease_until=at + lease,
            lost=lost,
            started=row["started"] or at,
        )
        return _made(connection, row, row["attempt"] + 1, holder, own)
    return None


def _sweep(connection: Connection, tracked: bool) -> None:
    """End what lost its worker and is not to run again: it was cancelled, or kills every worker that takes it."""
    at = now(connection)
    hopeless = or_(search.c.state == CANCELLING, search.c.lost >= MOST_LOST)
    found = select(search).where(_orphaned(at), hopeless).limit(_SWEPT).with_for_update(skip_locked=True)
    for row in connection.execute(found).mappings().all():
        ended = {"holder": None, "lease_until": None, "ended": at}
        if row["state"] == CANCELLING:
            change(connection, row, state=CANCELLED, **ended)
        else:
            told = f"its worker was lost {MOST_LOST + 1} times in a row, without any progress in between"
            change(connection, row, state=FAILED, message=told, **ended)
        if tracked:
            left_open(connection, row)


def _teams(connection: Connection) -> list[str]:
    """Teams that have a search to run, those with the fewest running ones first, then by age of the oldest to run."""
    at = now(connection)
    ready = or_(_waiting(at), _orphaned(at))
    running = func.sum(case((_running(at), 1), else_=0))
    oldest = func.min(case((ready, search.c.created)))
    found = (
        select(search.c.team_id)
        .where(search.c.state.in_((QUEUED, *ACTIVE)))
        .group_by(search.c.team_id)
        .having(oldest.is_not(None))
        .order_by(running, oldest, search.c.team_id)
    )
    return [str(identifier) for identifier in connection.execute(found).scalars()]


def _running(at: float) -> ColumnElement[bool]:
    return and_(search.c.state.in_(ACTIVE), search.c.lease_until >= at)


def _next_of(connection: Connection, identifier: str, allowed: int) -> RowMapping | None:
    """The next search of a team, locked; None where it has as many running ones as it may have."""
    at = now(connection)
    ours = search.c.team_id == identifier
    running = connection.execute(select(func.count()).select_from(search).where(ours, _running(at))).scalar_one()
    if running >= allowed:
        return None
    found = (
        select(search)
        .where(ours, or_(_waiting(at), and_(search.c.state == RUNNING, search.c.lease_until < at)))
        .order_by(search.c.created, search.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(found).mappings().first()


def _made(connection: Connection, row: RowMapping, attempt: int, holder: str, own: Row[Any]) -> Claim:
    called, at = select(dataset.c.name).where(dataset.c.id == row["dataset_id"]), now(connection)
    return Claim(
        search=row["id"],
        attempt=attempt,
        holder=holder,
        team=row["team_id"],
        team_name=own.name,
        dataset=row["dataset_id"],
        dataset_name=connection.execute(called).scalar_one(),
        name=row["name"],
        request=row["request"],
        seconds=own.max_seconds - (at - (row["started"] or at)),
    )
