"""Datasets: entered, filled, deleted."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, select, update

from services import schema
from services.access import audit, quotas
from services.access.principal import ConflictError, Principal
from services.changing.searches import READY
from services.database import new_id, now
from services.reading.datasets import AWAITED, find_dataset
from services.uploads.sandbox import Converted

EMPTY, RECEIVING, CONVERTING, FAILED = "empty", "receiving", "converting", "failed"


def create_dataset(connection: Connection, who: Principal, name: str) -> str:
    """Enter a dataset without content and return its id; raise `ForbiddenError` where the team has too many."""
    quotas.require_dataset(connection, who.team)
    made = {
        "id": new_id(),
        "team_id": who.team,
        "owner_id": who.user,
        "name": name,
        "state": EMPTY,
        "bytes": 0,
        "created": now(connection),
    }
    connection.execute(schema.dataset.insert().values(made))
    audit.record(connection, who, "dataset.create", str(made["id"]), name=name)
    return str(made["id"])


def begin_content(connection: Connection, who: Principal, dataset: str, size: int) -> None:
    """Reserve ``size`` bytes for content that is about to come.

    Raises:
        ConflictError: the dataset has its content; searches may have read it.
        ForbiddenError: the team's bytes are used up.
    """
    found = find_dataset(connection, who, dataset)
    if found["state"] == READY:
        raise ConflictError("a dataset's content does not change once it is there: make another dataset")
    quotas.require_bytes(connection, who.team, size - found["bytes"])
    _set(connection, dataset, state=RECEIVING, bytes=size, problem=None)


def begin_conversion(connection: Connection, dataset: str, digest: str) -> None:
    """Note that the content has come, with this SHA-256 digest in hexadecimal digits."""
    _set(connection, dataset, state=CONVERTING, digest=digest)


def fail_content(connection: Connection, dataset: str, problem: str) -> None:
    """Note that the content cannot be used; other content may be sent."""
    _set(connection, dataset, state=FAILED, bytes=0, digest=None, problem=problem)


def break_content(connection: Connection, dataset: str, problem: str) -> None:
    """Note that whoever received or converted the content has ended; nothing changes where nobody did."""
    awaited = (schema.dataset.c.id == dataset) & schema.dataset.c.state.in_(AWAITED)
    connection.execute(
        update(schema.dataset).where(awaited).values(state=FAILED, bytes=0, digest=None, problem=problem)
    )


def end_content(connection: Connection, who: Principal, dataset: str, converted: Converted, size: int) -> None:
    """Note that the dataset is ready; ``size`` is that of the Parquet file.

    Raises:
        ConflictError: it was deleted, or filled by another request, while this content was converted.
    """
    waiting = (schema.dataset.c.id == dataset) & (schema.dataset.c.state != READY)
    values = {
        "state": READY,
        "bytes": size,
        "rows": converted.rows,
        "columns": converted.columns,
        "schema": converted.schema,
        "problem": None,
    }
    if not connection.execute(update(schema.dataset).where(waiting).values(values)).rowcount:
        raise ConflictError("the dataset was deleted, or filled by another request, in the meantime")
    audit.record(connection, who, "dataset.content", dataset, rows=converted.rows, columns=converted.columns)


def delete_dataset(connection: Connection, who: Principal, dataset: str) -> None:
    """Delete the row of a dataset; its file is the caller's to delete.

    Raises:
        ConflictError: searches use it.
    """
    find_dataset(connection, who, dataset)
    used = select(func.count()).select_from(schema.search).where(schema.search.c.dataset_id == dataset)
    if count := connection.execute(used).scalar_one():
        raise ConflictError(f"a dataset is deleted after its searches, this one has {count}: delete them first")
    connection.execute(delete(schema.dataset).where(schema.dataset.c.id == dataset))
    audit.record(connection, who, "dataset.delete", dataset)


def _set(connection: Connection, dataset: str, **values: object) -> None:
    waiting = (schema.dataset.c.id == dataset) & (schema.dataset.c.state != READY)
    connection.execute(update(schema.dataset).where(waiting).values(values))
