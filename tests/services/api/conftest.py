"""One API for all tests of a module, and a dataset in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.api.serving import TABLE, Running, serving, upload


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The API of a service on SQLite."""
    with serving(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture(scope="module")
def ready(running: Running) -> str:
    """The id of a dataset of the red team that is ready."""
    with running.client() as client:
        answer = upload(client, TABLE.encode())
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])
