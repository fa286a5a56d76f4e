"""The rows of studies and trials: looked up, and written in place of what was there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, case, func, select
from sqlalchemy.dialects import postgresql, sqlite

from losssearch.errors import OptionError
from losssearch.option_names import option
from losssearch.storage import schema
from losssearch.storage.records import StudyRecord, TrialState
from losssearch.storage.seal import is_sealed

_CONFIG = select(schema.study.c.config).where(schema.study.c.name == bindparam("study"))


def upsert(kind: str, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows; one whose key is there already is replaced. ``kind``: of database."""
    insert = (postgresql if kind == "postgresql" else sqlite).insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
    if table is schema.trial:
        changed |= _times(insert.excluded)
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changed), list(rows))


def check_name(name: str) -> None:
    """Raise `OptionError` for what is no name of a study."""
    if not (name.strip() and name.isprintable() and len(name) <= 200):
        raise OptionError(f"{option('study')} must be 1 to 200 printable characters, got {name[:40]!r}")


def _times(new: Any) -> dict[str, Any]:
    """When a trial that is written again started and ended: the first time that it did, and never while it runs."""
    old, running = schema.trial.c, TrialState.RUNNING.value
    return {
        "started": case((old.state == running, func.coalesce(old.started, new.started)), else_=old.started),
        "ended": case((new.state == running, None), (old.state == running, new.ended), else_=old.ended),
    }


def study_names(connection: Connection) -> list[str]:
    """The names of all studies, the oldest first."""
    ordered = select(schema.study.c.name).order_by(schema.study.c.created, schema.study.c.name)
    return [str(name) for name in connection.execute(ordered).scalars()]


def is_there(connection: Connection, study: str, *, lock: bool = False) -> bool:
    """Whether there is a study of this name; with ``lock`` nobody else may change it until the transaction ends."""
    found = select(schema.study.c.name).where(schema.study.c.name == study)
    return connection.execute(found.with_for_update() if lock else found).first() is not None


def seals(connection: Connection, study: str) -> bool | None:
    """Whether the rows of a study have seals; None where there is no such study."""
    row = connection.execute(_CONFIG, {"study": study}).first()
    return None if row is None else is_sealed(row[0])


def found_study(connection: Connection, name: str) -> StudyRecord | None:
    """The record of a study; None where there is none of this name."""
    row = connection.execute(select(schema.study).where(schema.study.c.name == name)).mappings().first()
    return None if row is None else schema.study_record(row)
