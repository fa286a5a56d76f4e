"""A database and its faults: opening it, running transactions on it, and saying in one line what went wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import tenacity
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError

from losssearch.errors import ConnectionLostError, DataError, LossSearchError, OptionError
from losssearch.storage import codec

T = TypeVar("T")

BUSY_MS = 10_000
"""How long SQLite waits for another writer, in milliseconds."""

ATTEMPTS = 5
"""How often a transaction is tried; the waits between grow from 0.1 s to 0.8 s."""


class Database:
    """An SQLite file or a PostgreSQL database, opened by URL.

    ``create`` makes a missing SQLite file and its folder, and puts the file into WAL mode; without it the
    file must be there and is left as it is.

    Raises:
        OptionError: the URL cannot be read, or names another kind of database.
        DataError: the file is a folder or no database, or is missing and ``create`` is off.
        ConnectionLostError: the database cannot be reached.
    """

    def __init__(self, url: str, *, create: bool) -> None:
        parsed = _parsed(url)
        self.kind = parsed.get_backend_name()
        self.where = str(parsed.database) if self.kind == "sqlite" else parsed.render_as_string(hide_password=True)
        if self.kind == "sqlite":
            _check_file(Path(self.where), create)
        self._engine = _engine(parsed, wal=create)
        self._reader = self._engine.execution_options(losssearch_reads=True)

    def run(self, work: Callable[[Connection], T], *, reads: bool = False) -> T:
        """Run ``work`` in one transaction, again where the database was out of reach for a moment.

        ``reads`` promises that ``work`` only reads, so SQLite need not wait for a writer. An `IntegrityError`
        is left to the caller, who alone knows which rule was broken.
        """

        def attempt() -> T:
            with (self._reader if reads else self._engine).begin() as connection:
                return work(connection)

        try:
            return _retrying(attempt)
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise self._translated(error) from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _translated(self, error: DBAPIError) -> LossSearchError:
        cause = " ".join(str(error.orig).split()).strip()
        if _may_pass(error):
            return ConnectionLostError(
                f"the study store must be reachable and writable, {self.where} was not in {ATTEMPTS} tries ({cause}): "
                "what was saved is kept, mend it and go on with --resume"
            )
        return DataError(f"a study store must be an SQLite or PostgreSQL database of losssearch, {self.where}: {cause}")


def _parsed(url: str) -> URL:
    rule = "--storage must be sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise OptionError(f"{rule}, got something that is no URL") from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    shown = parsed.render_as_string(hide_password=True)
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise OptionError(f"{rule}, got {shown}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise OptionError(f"{rule}; a study outlives its process, so it needs a file, got {shown}")
    return parsed


def _check_file(path: Path, create: bool) -> None:
    if path.is_dir():
        raise DataError(f"a study store must be a file, {path} is a folder: name a file in it")
    if not path.exists() and not create:
        raise DataError(f"a study store must exist to be read, there is no {path}: run `losssearch search` first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"the folder of a study store must be a folder, {path.parent} is not") from None
    except OSError as error:
        raise ConnectionLostError(f"the folder of the study store must be writable: {error}") from error


def _engine(url: URL, *, wal: bool) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    engine = create_engine(
        url,
        json_serializer=codec.dumps,
        json_deserializer=codec.loads,
        pool_pre_ping=not sqlite,
        connect_args={} if sqlite else {"connect_timeout": 5},
    )
    if sqlite:
        event.listen(engine, "connect", _configure_wal if wal else _configure)
        event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own BEGIN comes too late (at the first write) and not at all before DDL: `_begin` does it.
    connection.isolation_level = None
    for pragma in (f"busy_timeout={BUSY_MS}", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _configure_wal(connection: sqlite3.Connection, record: Any) -> None:
    _configure(connection, record)
    connection.execute("PRAGMA journal_mode=WAL").close()


def _begin(connection: Connection) -> None:
    # Taking the write lock first lets writers wait for each other; a read that turns into a write cannot.
    reads = connection.get_execution_options().get("losssearch_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, OperationalError | InterfaceError)


_retrying = tenacity.Retrying(
    retry=tenacity.retry_if_exception(_may_pass),
    stop=tenacity.stop_after_attempt(ATTEMPTS),
    wait=tenacity.wait_exponential(multiplier=0.1, max=2.0),
    reraise=True,
)
