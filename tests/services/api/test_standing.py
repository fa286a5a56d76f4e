"""A stream ends soon after whoever watches it may no more; another stream of the same search goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from services import schema
from services.access import standing as access
from services.access.principal import Principal
from services.api import standing
from tests.services.api.serving import PASSWORD, Running
from tests.services.api.test_events import happen, messages
from tests.services.api.test_searches import ask

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def _looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "RECHECK", 0.2)


def watcher(running: Running) -> tuple[dict[str, str], str, str]:
    """Headers of a new user's token, the user and the token."""
    with running.client("admin") as admin:
        name = f"watcher-{time.monotonic_ns()}"
        body = {"name": name, "team_id": running.teams["red"].id, "password": PASSWORD}
        user = admin.post("/v1/users", json=body).json()["id"]
    with httpx.Client(base_url=running.url, timeout=60) as client:
        csrf = client.post("/v1/session", json={"name": name, "password": PASSWORD}).json()["csrf"]
        made = client.post("/v1/tokens", json={"name": "watch"}, headers={"X-CSRF-Token": csrf}).json()
    return {"Authorization": f"Bearer {made['token']}"}, user, made["id"]


def revoked(running: Running, user: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {running.teams['red'].tokens['admin']}"}
    assert httpx.delete(f"{running.url}/v1/tokens/{token}", headers=headers).status_code == 204


def disabled(running: Running, user: str, token: str) -> None:
    with running.client("admin") as admin:
        assert admin.patch(f"/v1/users/{user}", json={"disabled": True}).status_code == 204


def expired(running: Running, user: str, token: str) -> None:
    change = update(schema.token).where(schema.token.c.id == token).values(expires=1.0)
    running.database.run(lambda c: c.execute(change))


def moved(running: Running, user: str, token: str) -> None:
    with running.client("admin") as admin:
        assert admin.patch(f"/v1/users/{user}", json={"team_id": running.teams["blue"].id}).status_code == 204


def drained(lines: Iterator[str]) -> bool:
    """Whether a stream ends; it sends a comment every 15 seconds as long as it does not."""
    until = time.monotonic() + PATIENCE
    return all(time.monotonic() < until for _ in lines)


@pytest.mark.parametrize("ends", [revoked, disabled, expired, moved])
def test_a_stream_ends_with_the_right_to_it(
    running: Running, ready: str, ends: Callable[[Running, str, str], None]
) -> None:
    search = ask(running, ready)["id"]
    path = f"/v1/searches/{search}/events/stream"
    headers, user, token = watcher(running)
    with ExitStack() as stack:
        client, other = stack.enter_context(running.client(None, headers=headers)), running.client("reader")
        lines = stack.enter_context(client.stream("GET", path)).iter_lines()
        rest = stack.enter_context(stack.enter_context(other).stream("GET", path)).iter_lines()
        assert next(messages(lines))["event"] == "state"
        found = messages(rest)
        assert [next(found)["event"] for _ in "ab"] == ["state", "progress"]
        ends(running, user, token)
        assert drained(lines)
        happen(running, search, 7)
        assert next(found)["data"]["trial"] == 7


def test_a_session_that_is_logged_out_ends_its_streams(running: Running, ready: str) -> None:
    path = f"/v1/searches/{ask(running, ready)['id']}/events/stream"
    with httpx.Client(base_url=running.url, timeout=60) as client:
        csrf = client.post("/v1/session", json={"name": "red-member", "password": PASSWORD}).json()["csrf"]
        with client.stream("GET", path) as answer:
            lines = answer.iter_lines()
            assert next(messages(lines))["event"] == "state"
            assert client.delete("/v1/session", headers={"X-CSRF-Token": csrf}).status_code == 204
            assert drained(lines)


def test_all_streams_are_looked_after_by_two_reads(running: Running) -> None:
    people: set[Principal] = {running.teams["red"].who["member"]}
    people |= {Principal(f"{n:032x}", "x", "t", "member", "read", token=f"{n:032x}") for n in range(500)}
    statements: list[Any] = []

    def look(connection: Any) -> set[Principal]:
        execute = connection.execute
        connection.execute = lambda *given: statements.append(given) or execute(*given)
        return access.standing(connection, people)

    assert running.database.run(look, reads=True) == set()
    assert len(statements) == 2
