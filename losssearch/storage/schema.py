"""The database tables, and the only place that creates them.

Columns hold what is asked for by name; the rest of a trial is one JSON column, so that a new field of a
record with a default needs no migration. Tables carry a prefix, so that a shared database may hold them
in addition to Optuna's and MLflow's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    inspect,
    select,
    text,
)

from losssearch.errors import DataError
from losssearch.storage import codec
from losssearch.storage.records import StudyRecord, TrialRecord
from losssearch.storage.seal import is_sealed, sealed, unsealed

VERSION = 1
"""Raised by a change that an older program could not read; a migration comes with it."""

_LOCK = 0x6C6F7373
"""The advisory lock under which PostgreSQL sessions create the schema one after the other."""

metadata = MetaData()

schema_version = Table(
    "losssearch_schema", metadata, Column("id", Integer, primary_key=True), Column("version", Integer, nullable=False)
)
study = Table(
    "losssearch_study",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("config", JSON, nullable=False),
    Column("version", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("tracking", JSON, nullable=False),
    Column("result", JSON(none_as_null=True)),
)


def _study_key() -> Column[Any]:
    return Column("study", ForeignKey(study.c.name), primary_key=True)


trial = Table(
    "losssearch_trial",
    metadata,
    _study_key(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("body", JSON, nullable=False),
)
stage = Table(
    "losssearch_stage",
    metadata,
    _study_key(),
    Column("stage", String(200), primary_key=True),
    Column("payload", JSON, nullable=False),
)
lease = Table(
    "losssearch_lease",
    metadata,
    _study_key(),
    Column("holder", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Text, nullable=False),
    Column("heartbeat", Double, nullable=False),
)

_TRIAL_COLUMNS = ("number", "origin", "name", "key", "state")


def prepare(connection: Connection, *, create: bool, where: str) -> None:
    """Make the tables where ``create`` asks for it and they are missing, and check their version.

    Must run in a transaction that excludes other writers (SQLite: ``BEGIN IMMEDIATE``).

    Raises:
        DataError: no study was ever stored there and ``create`` is off, or a newer program made the tables.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if not inspect(connection).has_table(schema_version.name):
        if not create:
            raise DataError(f"a study store must hold the tables of losssearch, {where} holds none")
        metadata.create_all(connection)
        connection.execute(schema_version.insert().values(id=1, version=VERSION))
    found = connection.execute(select(schema_version.c.version)).scalar_one()
    if found > VERSION:
        raise DataError(
            f"{where} has schema version {found}, this program knows up to {VERSION}: update losssearch to open it"
        )


def trial_row(name: str, record: TrialRecord) -> dict[str, Any]:
    """A trial as column values."""
    body = codec.trial_to_json(record)
    columns = {column: body.pop(column) for column in _TRIAL_COLUMNS} | {"state": record.state.value}
    return {**columns, "study": name, "body": sealed(body, "trial", record.number, name, columns)}


def trial_record(row: RowMapping, *, must: bool = False) -> TrialRecord:
    """The inverse of `trial_row`; raise a built-in error where the row is not one. ``must``: it must have a seal."""
    columns = {column: row[column] for column in _TRIAL_COLUMNS}
    body = unsealed(row["body"], "trial", row["number"], row["study"], columns, must=must)
    return codec.trial_from_json(body | columns)


def study_row(record: StudyRecord) -> dict[str, Any]:
    """A study as column values."""
    name, row = record.name, {column.name: getattr(record, column.name) for column in study.columns}
    row["config"] = sealed(record.config, "study", name, record.version, record.created)
    row["tracking"] = tracking_value(name, record.tracking)
    row["result"] = None if record.result is None else result_value(name, record.result)
    return row


def study_record(row: RowMapping) -> StudyRecord:
    """The inverse of `study_row`; raise a built-in error where the row is not one."""
    name, must = row["name"], is_sealed(row["config"])
    result = row["result"]
    return StudyRecord(
        name,
        unsealed(row["config"], "study", name, row["version"], row["created"]),
        row["version"],
        row["created"],
        unsealed(row["tracking"], "tracking", name, must=must),
        None if result is None else unsealed(result, "result", name, must=must),
    )


def tracking_value(name: str, tracking: Mapping[str, str]) -> dict[str, Any]:
    """Where a study is tracked, as its column holds it."""
    return sealed(tracking, "tracking", name)


def result_value(name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """A study's result, as its column holds it."""
    return sealed(result, "result", name)


def stage_row(name: str, stage: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage found, as column values."""
    return {"study": name, "stage": stage, "payload": sealed(payload, "stage", stage, name)}


def stage_payload(name: str, stage: str, payload: Any, *, must: bool) -> dict[str, Any]:
    """The inverse of `stage_row`."""
    return unsealed(payload, "stage", stage, name, must=must)
