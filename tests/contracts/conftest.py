"""An empty database of each kind that a store may lie in, for the contracts of stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from losssearch.storage.sql import SqlStore
from tests.databases import empty_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    with empty_database(request.param, tmp_path / "study.db") as url:
        yield url


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
