"""A service with its pages, and people who are logged in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.api.serving import Running, serving
from tests.services.pages.people import Person, logged_in


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service on SQLite; no worker runs."""
    with serving(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture
def member(running: Running) -> Iterator[Person]:
    """A member of the red team, as a browser without JavaScript."""
    with logged_in(running, "red-member") as person:
        yield person


@pytest.fixture
def admin(running: Running) -> Iterator[Person]:
    """An admin of the red team."""
    with logged_in(running, "red-admin") as person:
        yield person
