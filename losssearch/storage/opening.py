"""From a URL to an engine: checking the URL, setting up connections, and testing whether a server responds."""

from __future__ import annotations

import sqlite3
import warnings
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SAWarning

from losssearch.errors import ConnectionLostError, DataError, OptionError
from losssearch.option_names import option
from losssearch.redaction import redact
from losssearch.storage import codec
from losssearch.storage.soundness import check_sound

BUSY_MS = 10_000
"""How long SQLite waits for another writer, in milliseconds."""

CONNECT_S = 5
"""How long a server may take to let us in, in seconds."""


def parse_url(url: str) -> URL:
    """The URL of a store; raise `OptionError` for anything else."""
    rule = f"{option('storage')} must be sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise OptionError(f"{rule}, got something that is no URL") from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    shown = redact(parsed.render_as_string(hide_password=False))
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise OptionError(f"{rule}, got {shown}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise OptionError(f"{rule}; a study outlives its process, so it needs a file, got {shown}")
    return parsed


def check_file(file: str, create: bool) -> None:
    """Refuse what cannot be an SQLite store, before anything is opened for writing."""
    path = Path(file)
    try:
        path.exists()
    except (OSError, ValueError) as error:
        raise DataError(f"a study store must be a file with a name that can be one, got {file:.80}: {error}") from None
    if path.is_dir():
        raise DataError(f"a study store must be a file, {path} is a folder: name a file in it")
    if not path.exists() and not create:
        raise DataError(f"a study store must exist to be read, there is no {path}: run `losssearch search` first")
    if path.exists() and not path.is_file():
        raise DataError(f"a study store must be a file, {path} is none: give another")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"the folder of a study store must be a folder, {path.parent} is not") from None
    except OSError as error:
        raise ConnectionLostError(f"the folder of the study store must be writable: {error}") from error
    if path.exists() and path.stat().st_size:
        check_sound(path)


def new_engine(url: URL, *, wal: bool, connections: int) -> Engine:
    """An engine for a store; ``wal`` puts an SQLite file into WAL mode, ``connections`` may be open at once."""
    sqlite = url.get_backend_name() == "sqlite"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SAWarning)  # of what a driver would ignore
            engine = create_engine(
                url,
                json_serializer=codec.dumps,
                json_deserializer=codec.loads,
                connect_args={} if sqlite else {"connect_timeout": CONNECT_S},
                # Those that were opened are kept: to connect takes longer than most transactions.
                pool_size=connections,
                max_overflow=0,
            )
            engine.dialect.create_connect_args(url)
    except (ArgumentError, SAWarning, TypeError, ValueError) as error:
        said = str(error).partition(" (Background")[0]
        raise OptionError(
            f"{option('storage')} must be a URL that its driver takes, got {url.render_as_string()}: {said}"
        ) from None
    if sqlite:
        event.listen(engine, "connect", _configure_wal if wal else _configure)
        event.listen(engine, "begin", _begin)
    return engine


def knock(url: str) -> None:
    """Ask a database server of any kind for an answer; raise what its driver raises where there is none.

    Raises:
        ModuleNotFoundError: its driver is not installed.
        ConnectionError: it cannot be reached, or does not let us in.
    """
    engine = _driven(url)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
    except DBAPIError as error:
        raise ConnectionError(redact(" ".join(str(error.orig).split()))) from None
    finally:
        engine.dispose()


def check_driver(url: str) -> None:
    """Raise `ModuleNotFoundError` if the driver of a database URL is not installed; nothing is connected."""
    _driven(url).dispose()


def _driven(url: str) -> Engine:
    """An engine of any kind of database, for one connection at a time."""
    try:
        parsed = make_url(url)
        timed = parsed.get_backend_name() in ("postgresql", "mysql", "mariadb")
        return create_engine(parsed, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_S} if timed else {})
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ModuleNotFoundError("no driver knows such a URL") from None


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
