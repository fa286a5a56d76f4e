"""Which workers there are: for people to see. The queue itself does not depend on it."""

from __future__ import annotations

import os
import socket

from sqlalchemy import Connection, delete, update

from losssearch import __version__
from services.database import now
from services.schema import worker

FORGOTTEN = 86400.0
"""Seconds after which a worker that says nothing is no longer listed."""


def enter(connection: Connection, identifier: str, slots: int) -> None:
    """Add this process as a worker, and forget those that have long been gone."""
    at = now(connection)
    connection.execute(delete(worker).where((worker.c.seen < at - FORGOTTEN) | (worker.c.id == identifier)))
    connection.execute(
        worker.insert().values(
            id=identifier,
            host=socket.gethostname()[:255],
            pid=os.getpid(),
            slots=slots,
            version=__version__,
            started=at,
            seen=at,
        )
    )


def seen(connection: Connection, identifier: str, slots: int) -> None:
    """Note that a worker lives; one that could not be added before is added."""
    if not connection.execute(update(worker).where(worker.c.id == identifier).values(seen=now(connection))).rowcount:
        enter(connection, identifier, slots)


def leave(connection: Connection, identifier: str) -> None:
    """Take a worker that ends off the list."""
    connection.execute(delete(worker).where(worker.c.id == identifier))
