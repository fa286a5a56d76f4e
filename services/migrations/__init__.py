"""Migrations of the service's tables: up to this program's version, down to another, and which one a database has.

The table of versions is our own, as MLflow keeps Alembic's default one in the same database.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from losssearch.errors import DataError
from losssearch.storage.engine import Database

VERSION_TABLE = "losssearch_service_version"

NOTHING = "base"
"""The version of a database without tables of the service."""

_LOCK = 0x6C737376
"""The advisory lock under which PostgreSQL sessions migrate one after the other."""


def head() -> str:
    """The version of this program."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None  # noqa: S101
    return found


def current(connection: Connection) -> str | None:
    """The version of a database; None where it has no tables of the service."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def upgrade(database: Database, version: str = "head") -> None:
    """Bring the tables to ``version``; nothing happens where they are. May run twice at once..

    Raises:
        DataError: a newer program made the tables.
    """

    def work(connection: Connection) -> None:
        _lock(connection)
        found = current(connection)
        if found is not None and found not in _known():
            raise _newer(database, found)
        command.upgrade(_config(connection), version)

    database.run(work)


def downgrade(database: Database, version: str) -> None:
    """Bring the tables back to an older ``version``, or to `NOTHING`. What only newer ones hold is lost."""

    def work(connection: Connection) -> None:
        _lock(connection)
        command.downgrade(_config(connection), version)

    database.run(work)


def check(database: Database) -> None:
    """Raise `DataError` unless the tables are of this program's version.

    Example:
        >>> check(open_database(settings.database_url))  # doctest: +SKIP
    """
    found = database.run(current, reads=True)
    if found == head():
        return
    if found is not None and found not in _known():
        raise _newer(database, found)
    state = "has none" if found is None else f"is at {found}"
    raise DataError(
        f"the service needs its tables at version {head()}, {database.where} {state}: run `losssearch serve migrate`"
    )


def _newer(database: Database, found: str) -> DataError:
    return DataError(
        f"the service reads tables up to version {head()}, {database.where} is at {found}: use a newer losssearch"
    )


def _known() -> set[str]:
    return {one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()}


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _config(connection: Connection | None = None) -> Config:
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made
