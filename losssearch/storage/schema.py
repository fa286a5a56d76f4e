"""The database tables, and how a record becomes a row.

Columns hold what is asked for by name or ranked by; the rest of a trial is one JSON column, so that a new field of a
record with a default needs no migration. Tables carry a prefix, so that a shared database may hold them
in addition to Optuna's and MLflow's. What has changed between versions is in `losssearch.storage.migrations`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    RowMapping,
    String,
    Table,
    Text,
)

from losssearch.storage import codec
from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.seal import is_sealed, sealed, unsealed

VERSION = 2
"""Raised with every migration; the number of the newest one, by which a program tells what it can read."""

_SINCE = "since"
"""The key under which a table or a column says with which version it came; the first if it says nothing."""

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
    # A copy of the one in the body, to rank by; null where there is none, or no finite one.
    Column("value", Double, info={_SINCE: 2}),
    Column("started", Text, info={_SINCE: 2}),
    Column("ended", Text, info={_SINCE: 2}),
    Index("losssearch_trial_rank", "study", "state", "value"),
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

revision = Table(
    "losssearch_revision",  # that of Alembic; its default name is MLflow's, in the same database
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="losssearch_revision_pkc"),
    info={_SINCE: 2},
)

_TRIAL_COLUMNS = ("number", "origin", "name", "key", "state")
_TIMES = ("started", "ended")


def tables_of(version: int) -> list[Table]:
    """The tables that a store of a version has."""
    return [table for table in metadata.sorted_tables if table.info.get(_SINCE, 1) <= version]


def columns_of(table: Table, version: int) -> list[Column[Any]]:
    """The columns that a table has in a store of a version."""
    return [column for column in table.columns if column.info.get(_SINCE, 1) <= version]


def trial_row(name: str, record: TrialRecord) -> dict[str, Any]:
    """A trial as column values; started and ended, if it has, now."""
    body = codec.trial_to_json(record)
    columns = {column: body.pop(column) for column in _TRIAL_COLUMNS} | {"state": record.state.value}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    times = dict(zip(_TIMES, (now, None if record.state is TrialState.RUNNING else now), strict=True))
    for column in _TIMES:
        del body[column]
    return {
        **columns,
        **times,
        "study": name,
        "body": sealed(body, "trial", record.number, name, columns),
        "value": ranked(record.value),
    }


def ranked(value: object) -> float | None:
    """The value of a trial as its column has it."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def trial_record(row: Mapping[str, Any] | RowMapping, *, must: bool = False) -> TrialRecord:
    """The inverse of `trial_row`; raise a built-in error where the row is not one. ``must``: it must have a seal."""
    columns = {column: row[column] for column in _TRIAL_COLUMNS}
    body = unsealed(row["body"], "trial", row["number"], row["study"], columns, must=must)
    if "value" not in row:  # a store of version 1
        return codec.trial_from_json(body | columns)
    if row["value"] != ranked(body.get("value")):
        raise ValueError(f"trial {row['number']} has two values, {row['value']!r:.40} and {body.get('value')!r:.40}")
    return codec.trial_from_json(body | columns | {column: row[column] for column in _TIMES})


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
