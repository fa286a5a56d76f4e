"""An empty database of each kind that a store may have."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

POSTGRES = os.environ.get("LOSSSEARCH_TEST_POSTGRES")


@contextmanager
def empty_database(kind: str, file: Path) -> Iterator[str]:
    """The URL of an SQLite ``file``, or of a new schema on the tests' PostgreSQL server; skips where there is none."""
    if kind == "sqlite":
        yield f"sqlite:///{file}"
        return
    if not POSTGRES:
        pytest.skip("LOSSSEARCH_TEST_POSTGRES names no server (`. .ci/postgres` starts one)")
    schema = f"t{uuid.uuid4().hex}"
    engine = create_engine(POSTGRES)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    at_schema = make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={schema}"})
    yield at_schema.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()
