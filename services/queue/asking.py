"""What a client asks of the queue: a search, one more try of it, its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from services.database import new_id, now
from services.queue.errors import KeyReusedError, StateError
from services.queue.rows import change, locked, told
from services.queue.syncing import left_open, meet
from services.schema import CANCELLED, CANCELLING, QUEUED, RUNNING, TERMINAL, search


def submit(
    connection: Connection,
    *,
    team: str,
    owner: str,
    dataset: str,
    name: str,
    request: Mapping[str, Any],
    idempotency_key: str | None = None,
    idempotency_digest: str | None = None,
) -> str:
    """Enter a search, and return its identifier; that of the first one where its idempotency key came before.

    Args:
        connection: of a transaction of the caller's, in which quotas were checked.
        team: its identifier, and so for ``owner`` and ``dataset``.
        owner: who asks.
        dataset: what it reads, ready.
        name: what people call it.
        request: as `losssearch.request.remote` has checked it.
        idempotency_key: chosen by the client, unique among the owner's.
        idempotency_digest: of what came with the key.

    Raises:
        KeyReusedError: the key came before, with another digest.
    """
    identifier, at = new_id(), now(connection)
    row = {
        "id": identifier,
        "team_id": team,
        "owner_id": owner,
        "dataset_id": dataset,
        "name": name,
        "request": dict(request),
        "state": QUEUED,
        "created": at,
        "updated": at,
        "not_before": at,
        "idempotency_key": idempotency_key,
        "idempotency_digest": idempotency_digest,
    }
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(search).values(row)
    same = [search.c.owner_id, search.c.idempotency_key]
    entered = insert.on_conflict_do_nothing(index_elements=same).returning(search.c.id)
    if connection.execute(entered).first() is not None:
        told(connection, identifier, QUEUED, 1)
        return identifier
    before = connection.execute(
        select(search.c.id, search.c.idempotency_digest).where(
            (search.c.owner_id == owner) & (search.c.idempotency_key == idempotency_key)
        )
    ).one()
    if before.idempotency_digest != idempotency_digest:
        raise KeyReusedError(
            "an idempotency key stands for one request, this one came with another before: use a new one"
        )
    return str(before.id)


def requeue(connection: Connection, identifier: str, *, request: Mapping[str, Any]) -> None:
    """Let a search that has ended continue, with ``request`` in place of what was asked before.

    Raises:
        NoSearchError: there is none.
        StateError: it has not ended.
    """
    row = locked(connection, identifier)
    if row["state"] not in TERMINAL:
        raise StateError(f"a search continues after its end, this one is {row['state']}: cancel it first, or wait")
    meet(connection, identifier)  # its study tells MLflow all of it again
    change(
        connection,
        row,
        request=dict(request),
        state=QUEUED,
        not_before=now(connection),
        holder=None,
        lease_until=None,
        tries=0,
        lost=0,
        cancel=False,
        started=None,
        ended=None,
        exit_code=None,
        message="",
    )


def cancel(connection: Connection, identifier: str, *, tracked: bool = False) -> str:
    """Ask for the end of a search, and return its state now: one that waits ends at once, one that has ended stays.

    ``tracked`` says that studies have runs in MLflow. The run of one that ends here is ended by a worker.

    Raises:
        NoSearchError: there is none.
    """
    row, at = locked(connection, identifier), now(connection)
    orphaned = row["lease_until"] is not None and row["lease_until"] < at
    if row["state"] == QUEUED or (row["state"] in (RUNNING, CANCELLING) and orphaned):
        change(connection, row, state=CANCELLED, cancel=True, holder=None, lease_until=None, ended=at)
        if tracked:
            left_open(connection, row)
        return CANCELLED
    if row["state"] == RUNNING:
        change(connection, row, state=CANCELLING, cancel=True)
        return CANCELLING
    return str(row["state"])
