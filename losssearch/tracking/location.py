"""The location of a tracking store: its URI, the file behind it, and whether that file is usable."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from losssearch.errors import ConnectionLostError, DataError
from losssearch.option_names import option


def local_store(out: Path) -> tuple[str, Path]:
    """The tracking URI and the artifact folder that a study has under its ``--out``, unless told otherwise."""
    folder = out.resolve()
    return f"sqlite:///{folder}/mlflow.db", folder / "mlartifacts"


def within(tracking_uri: str, out: Path) -> str:
    """The URI of a store as a study in ``out`` keeps it: relative where it is a file there, which may be moved."""
    file = file_of(tracking_uri)
    if file is None or not file.is_relative_to(out.resolve()):
        return tracking_uri
    return f"sqlite:///{file.relative_to(out.resolve()).as_posix()}"


def resolved(tracking_uri: str, out: Path) -> str:
    """The inverse of `within`: the URI of the store of a study that lies in ``out`` now."""
    file = file_of(tracking_uri)
    return tracking_uri if file is None else f"sqlite:///{out.resolve() / file}"


def file_of(tracking_uri: str) -> Path | None:
    """The file of an SQLite store; None for any other store."""
    if not tracking_uri.startswith("sqlite:///"):
        return None
    return Path(tracking_uri.removeprefix("sqlite:///").partition("?")[0])


def check(tracking_uri: str) -> Path | None:
    """Refuse a file at once on which MLflow would keep trying for minutes; return it if it is still to be created.

    Raises:
        DataError: it is something else than an SQLite database.
        ConnectionLostError: it cannot be written.
    """
    if (file := file_of(tracking_uri)) is None:
        return None
    if file.is_dir() or (file.is_file() and file.stat().st_size and not _is_database(file)):
        raise DataError(
            f"an MLflow store must be an SQLite database, {file} is not: give another {option('tracking_uri')}"
        )
    existing = next(path for path in (file, *file.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK):
        raise ConnectionLostError(
            f"the tracking store must be writable, {existing} is not: give another {option('tracking_uri')}"
        )
    return file if file != existing else None


def write_ahead(file: Path) -> None:
    """Put a new file into WAL mode: a trial costs a third of the time, and the UI reads while it is written."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _is_database(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(16) == b"SQLite format 3\0"
