"""Stores as a program of version 1 made them, on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import JSON, Column, Double, ForeignKey, Integer, MetaData, String, Table, Text, create_engine, select

STORED = Path(__file__).with_name("stored") / "version_1.db"
"""A study of four trials on the wine data, finished."""

_metadata = MetaData()
_name = "losssearch_study.name"
Table(
    "losssearch_schema", _metadata, Column("id", Integer, primary_key=True), Column("version", Integer, nullable=False)
)
Table(
    "losssearch_study",
    _metadata,
    Column("name", String(200), primary_key=True),
    Column("config", JSON, nullable=False),
    Column("version", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("tracking", JSON, nullable=False),
    Column("result", JSON(none_as_null=True)),
)
Table(
    "losssearch_trial",
    _metadata,
    Column("study", ForeignKey(_name), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("body", JSON, nullable=False),
)
Table(
    "losssearch_stage",
    _metadata,
    Column("study", ForeignKey(_name), primary_key=True),
    Column("stage", String(200), primary_key=True),
    Column("payload", JSON, nullable=False),
)
Table(
    "losssearch_lease",
    _metadata,
    Column("study", ForeignKey(_name), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Text, nullable=False),
    Column("heartbeat", Double, nullable=False),
)


def make_version_1(url: str) -> None:
    """Put the stored study of version 1 into an empty database."""
    if url.startswith("sqlite"):
        shutil.copyfile(STORED, url.removeprefix("sqlite:///"))
        return
    source, target = create_engine(f"sqlite:///{STORED}"), create_engine(url)
    with source.connect() as old, target.begin() as new:
        _metadata.create_all(new)
        for table in _metadata.sorted_tables:
            if rows := [dict(row) for row in old.execute(select(table)).mappings()]:
                new.execute(table.insert(), rows)
    source.dispose()
    target.dispose()
