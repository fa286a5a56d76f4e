"""The version of a store's tables: making them, upgrading those of an older program, and going back.

Alembic is imported only to migrate: a new store is made in its newest version at once.
"""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, literal, select, text, update

from losssearch.errors import DataError, OptionError
from losssearch.storage import lease, schema
from losssearch.storage.engine import Database

_LOCK = 0x6C6F7373
"""The advisory lock under which PostgreSQL sessions create or migrate the tables one after the other."""

_MIGRATIONS = Path(__file__).with_name("migrations")

_one_at_a_time = threading.Lock()
"""Alembic's migrations reach their connection through a module, so one thread of a process runs them at a time."""


def prepare(connection: Connection, *, create: bool, where: str) -> int:
    """The version of the tables. ``create`` makes them where they are missing, and upgrades those of an older version.

    Must run in a transaction that excludes other writers (SQLite: ``BEGIN IMMEDIATE``) where ``create`` is on.

    Raises:
        DataError: no study was ever stored there and ``create`` is off, or a newer program made the tables.
        StudyHeldError: they must be upgraded, and an older program drives a study there.
    """
    if create:
        make(connection)
        return migrate(connection, schema.VERSION, where)
    _lock(connection)
    if not inspect(connection).has_table(schema.schema_version.name):
        raise DataError(f"a study store must hold the tables of losssearch, {where} holds none")
    return _version(connection, where)


def make(connection: Connection) -> None:
    """Make the tables in their newest version where there are none."""
    _lock(connection)
    if not inspect(connection).has_table(schema.schema_version.name):
        schema.metadata.create_all(connection)
        connection.execute(schema.schema_version.insert().values(id=1, version=schema.VERSION))
        connection.execute(schema.revision.insert().values(version_num=str(schema.VERSION)))


def migrate(connection: Connection, version: int, where: str) -> int:
    """Bring the tables to ``version``, up or down, in the transaction of ``connection``; gives the version.

    Raises:
        OptionError: there is no such version.
        DataError: a newer program made the tables.
        StudyHeldError: a study there is being driven, by a program that expects the tables as they are.
    """
    if not 1 <= version <= schema.VERSION:
        raise OptionError(f"the version of a store must lie in [1, {schema.VERSION}], got {version}")
    _lock(connection)
    found = _version(connection, where)
    if found == version:
        return found
    lease.refuse_any(connection)
    # A driver that stood still for so long that it counts as dead must not write to tables that it does not know.
    connection.execute(update(schema.lease).values(holder=literal("before a migration: ") + schema.lease.c.holder))
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with _one_at_a_time:
        if not inspect(connection).has_table(schema.revision.name):
            command.stamp(config, str(found))
        (command.upgrade if version > found else command.downgrade)(config, str(version))
    if version == 1:
        schema.revision.drop(connection)
    return version


def migrate_store(url: str, version: int | None) -> tuple[str, int, int]:
    """Bring the store at ``url`` to ``version``, the newest if None, for which an empty PostgreSQL database is filled.

    Returns:
        What the store is called, its version before, and after.

    Raises:
        DataError: there is none, or it is not one of this program's.
        OptionError: the URL cannot be read, or there is no such version.
        StudyHeldError: a study there is being driven.
        ConnectionLostError: it cannot be reached or written.
    """
    database = Database(url, create=False)
    try:

        def work(connection: Connection) -> tuple[int, int]:
            if version is None and database.kind == "postgresql":
                make(connection)
            before = prepare(connection, create=False, where=database.where)
            return before, migrate(connection, schema.VERSION if version is None else version, database.where)

        return database.where, *database.run(work, parses=True)
    finally:
        database.close()


def _version(connection: Connection, where: str) -> int:
    found = connection.execute(select(schema.schema_version.c.version)).scalar_one()
    if not 1 <= found <= schema.VERSION:
        known = schema.VERSION
        raise DataError(
            f"{where} has schema version {found}, this program knows up to {known}: update losssearch to open it"
        )
    return int(found)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
