"""Checking that a store holds what losssearch wrote: the file, its tables, and the trials of a study."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from losssearch.errors import DataError, SpecError, UnknownNameError
from losssearch.storage import schema
from losssearch.storage.records import TrialRecord


def check_sound(file: Path) -> None:
    """Raise `DataError` if an SQLite file is damaged, or has tables of our names that are not ours.

    The file is not written. One that cannot be opened is left to whoever opens it for good.
    """
    had_log = _has_log(file)
    problem = _problem(file, "mode=ro" if had_log else "immutable=1")  # the former would leave files next to this one
    if problem and not had_log and _has_log(file):
        problem = _problem(file, "mode=ro")  # another process has written meanwhile
    if problem:
        raise DataError(
            f"a study store must be an SQLite database of losssearch, {file} is damaged or none: "
            f"{' '.join(problem.split())}; it was left as it is"
        )


def missing_from(trials: Sequence[TrialRecord]) -> str:
    """What is wrong with a study's trials together, which are numbered and refer to each other; "" if nothing."""
    from losssearch.losses.spec import LossSpec  # brings torch, which nothing else here needs

    for expected, trial in enumerate(trials):
        if trial.number != expected:
            return f"trials must be numbered from 0 without gaps, trial {expected} is not there once"
        if trial.twin is not None and not 0 <= trial.twin < len(trials):
            return f"trial {trial.number} refers to trial {trial.twin}, which is not there"
        try:
            LossSpec.from_json(trial.spec)
        except (SpecError, UnknownNameError) as error:
            return f"trial {trial.number} has a loss that cannot be read: {error}"
    return ""


def _has_log(file: Path) -> bool:
    return file.with_name(f"{file.name}-wal").exists()


def _problem(file: Path, how: str) -> str:
    try:
        if _ends_within_a_page(file):
            return "its end was cut off"
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                return str(found)
            return next(_foreign(connection), "")
    except (sqlite3.OperationalError, OSError):
        return ""
    except (sqlite3.DatabaseError, ValueError) as error:
        return str(error)


def _ends_within_a_page(file: Path) -> bool:
    with file.open("rb") as stream:
        header = stream.read(18)
    size = int.from_bytes(header[16:18], "big")
    return header.startswith(b"SQLite format 3\0") and size >= 512 and file.stat().st_size % size > 0


def _foreign(connection: sqlite3.Connection) -> Iterator[str]:
    kinds = dict(connection.execute("SELECT name, type FROM sqlite_master WHERE name LIKE 'losssearch%'"))
    if schema.schema_version.name not in kinds:
        return
    versions = connection.execute(f"SELECT version FROM {schema.schema_version.name}").fetchall()  # noqa: S608
    if len(versions) != 1 or not isinstance(versions[0][0], int):
        yield f"its schema version is {versions!r:.60}, which is no number"
        return
    version = versions[0][0]
    for table in schema.tables_of(version):
        columns = {row[1]: row[5] for row in connection.execute(f"PRAGMA table_info({table.name})")}
        expected = {column.name for column in schema.columns_of(table, version)}
        if kinds.get(table.name) != "table" or not expected <= columns.keys():
            yield f"its table {table.name} is not the one of losssearch"
        elif {name for name, key in columns.items() if key} != {column.name for column in table.primary_key}:
            yield f"its table {table.name} lacks its key"
    triggers = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'losssearch%'"
    if connection.execute(triggers).fetchone()[0]:
        yield "its tables have triggers"
