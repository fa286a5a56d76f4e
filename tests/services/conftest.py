"""An empty service database of each kind, with a team, its user and a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from losssearch.storage.engine import Database
from services import schema
from services.database import new_id, now, open_database
from services.migrations import upgrade
from services.queue import submit
from tests.databases import empty_database


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table."""
    with empty_database(request.param, tmp_path / "service.db") as url:
        yield url


@dataclass
class House:
    """A service database, and whoever asks it for searches."""

    url: str
    database: Database
    teams: dict[str, tuple[str, str, str]]

    def team(self, name: str, max_running: int = 100) -> None:
        """Add a team, with a user and a dataset."""
        identifiers = (new_id(), new_id(), new_id())
        self.teams[name] = identifiers
        team, user, dataset = identifiers

        def work(connection) -> None:
            at = now(connection)
            connection.execute(
                schema.team.insert().values(
                    id=team,
                    name=name,
                    max_running=max_running,
                    max_queued=10_000,
                    max_trials=10_000,
                    max_seconds=1e6,
                    max_bytes=1 << 40,
                    created=at,
                )
            )
            connection.execute(
                schema.user.insert().values(id=user, name=f"{name}-user", team_id=team, role="member", created=at)
            )
            connection.execute(
                schema.dataset.insert().values(
                    id=dataset, team_id=team, owner_id=user, name="table", state="ready", created=at
                )
            )

        self.database.run(work)

    def submit(self, team: str = "one", **given: object) -> str:
        """Ask for a search."""
        identifier, user, dataset = self.teams[team]
        asked = {"name": "a search", "request": {"trials": 4}} | given
        return self.database.run(
            lambda connection: submit(connection, team=identifier, owner=user, dataset=dataset, **asked)
        )

    def row(self, search: str) -> dict[str, object]:
        """The row of a search."""
        return self.database.run(
            lambda connection: dict(
                connection.execute(select(schema.search).where(schema.search.c.id == search)).mappings().one()
            ),
            reads=True,
        )

    def waits_for_mlflow(self, search: str) -> bool:
        """Whether MLflow misses something of a search."""
        chosen = select(schema.sync.c.search_id).where(schema.sync.c.search_id == search)
        return self.database.run(lambda connection: connection.execute(chosen).first() is not None, reads=True)


@pytest.fixture
def house(empty_url: str) -> Iterator[House]:
    """A service database with the team ``one``."""
    database = open_database(empty_url, create=True)
    upgrade(database)
    made = House(empty_url, database, {})
    made.team("one")
    yield made
    database.close()


@pytest.fixture
def reopen(house: House) -> Iterator[Callable[[], Database]]:
    """Opens the database once more, as another process would."""
    opened: list[Database] = []

    def again() -> Database:
        opened.append(open_database(house.url))
        return opened[-1]

    yield again
    for one in opened:
        one.close()
