"""The service's database: opened by URL, its clock, new identifiers, and whether its tables are of this version."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from time import time

from sqlalchemy import Connection, text

from losssearch.storage.engine import Database

PAUSE = 15.0
"""Seconds that a process may stand still in a transaction which holds locks."""


def open_database(
    url: str, *, create: bool = False, note: Callable[[str], object] | None = None, connections: int = 15
) -> Database:
    """Open the service's database; its tables are made by `services.migrations.upgrade`.

    Use ``database.run(work)``, which calls ``work(connection)`` in one transaction, and again where the connection was
    lost; ``reads=True`` for one that only reads.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql+psycopg://…``.
        create: whether to make a missing SQLite file, and its folder.
        note: is told, in a sentence, that a server is waited for.
        connections: how many threads may work at once.

    Raises:
        DataError: the file is missing or damaged.
        ConnectionLostError: the database cannot be reached.
    """
    return Database(url, create=create, note=note, name="service database", remedy="try again", connections=connections)


def now(connection: Connection) -> float:
    """The time by the clock that all processes of the service share, in seconds since 1970, UTC."""
    if connection.dialect.name == "postgresql":
        return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    return time()  # an SQLite file has one host


def bound_pauses(connection: Connection) -> None:
    """Let the server end the transaction of a process that stands still in it, since others wait for its locks."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {PAUSE * 1000:.0f}"))


def new_id() -> str:
    """A random identifier of 32 hexadecimal digits."""
    return uuid.uuid4().hex
