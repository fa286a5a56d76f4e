"""An empty database of each kind that a store may lie in, for the contracts of stores."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from losssearch.storage.sql import SqlStore

POSTGRES = os.environ.get("LOSSSEARCH_TEST_POSTGRES")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/study.db"
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


@pytest.fixture
def open_store(database_url: str) -> Iterator[Callable[[], SqlStore]]:
    """Opens a further store on the same database at each call."""
    opened: list[SqlStore] = []

    def open_one() -> SqlStore:
        opened.append(SqlStore(database_url))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def empty_store(open_store: Callable[[], SqlStore]) -> SqlStore:
    """A store that is open and empty."""
    return open_store()
