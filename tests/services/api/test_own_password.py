"""Passwords that users and admins change, and what ends with them: sessions always, tokens where that is asked."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from losssearch.cli.app import main
from services import schema
from services.access import failures, sessions
from tests.services.api.serving import PASSWORD, Running

FRESH = "another good password"


@pytest.fixture
def user(running: Running) -> tuple[str, str]:
    """A new member of the red team: name and id."""
    running.database.run(lambda c: c.execute(delete(schema.failure)))
    name = f"person-{time.monotonic_ns()}"
    with running.client("admin") as admin:
        body = {"name": name, "team_id": running.teams["red"].id, "password": PASSWORD}
        return name, admin.post("/v1/users", json=body).json()["id"]


@contextmanager
def logged_in(running: Running, name: str, password: str = PASSWORD) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=60) as client:
        answer = client.post("/v1/session", json={"name": name, "password": password})
        assert answer.status_code == 200, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf"]
        yield client


def bearer(client: httpx.Client, name: str = "a token") -> dict[str, str]:
    return {"Authorization": f"Bearer {client.post('/v1/tokens', json={'name': name}).json()['token']}"}


def works(running: Running, headers: dict[str, str]) -> bool:
    return httpx.get(f"{running.url}/v1/session", headers=headers).status_code == 200


def change(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/v1/password", json={"current": PASSWORD, "password": FRESH} | body)


def test_a_new_password_ends_other_sessions_and_tokens_where_asked(running: Running, user: tuple[str, str]) -> None:
    with logged_in(running, user[0]) as here, logged_in(running, user[0]) as elsewhere:
        token = bearer(here)
        assert change(here).status_code == 204
        assert here.get("/v1/session").status_code == 200
        assert elsewhere.get("/v1/session").status_code == 401
        assert works(running, token)
        assert change(here, current=FRESH, password=PASSWORD + "!", revoke_tokens=True).status_code == 204
        assert not works(running, token)
        assert here.get("/v1/session").status_code == 200
    login = {"name": user[0], "password": FRESH}
    assert httpx.post(f"{running.url}/v1/session", json=login).status_code == 401
    with logged_in(running, user[0], PASSWORD + "!"):
        pass


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"current": "not this one"}, 403, "the current password must be given, this is not it"),
        ({"current": None}, 403, "the current password must be given"),
        ({"password": "short"}, 422, "at least 10 characters"),
    ],
)
def test_what_changes_no_password(
    running: Running, user: tuple[str, str], body: dict[str, Any], status: int, said: str
) -> None:
    with logged_in(running, user[0]) as client, logged_in(running, user[0]) as elsewhere:
        answer = change(client, **body)
        assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
        assert elsewhere.get("/v1/session").status_code == 200


def test_the_current_password_cannot_be_guessed(
    running: Running, user: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(failures.MOST, "password", 3)
    with logged_in(running, user[0]) as client:
        found = [change(client, current=f"guess {n}").status_code for n in range(failures.MOST["password"] + 1)]
        assert found == [403] * failures.MOST["password"] + [429]
        assert change(client).status_code == 429


def test_after_a_login_link_no_password_is_asked_for(running: Running, user: tuple[str, str]) -> None:
    code = running.database.run(lambda c: sessions.login_link(c, user[1]))
    with httpx.Client(base_url=running.url, timeout=60) as client:
        assert client.get("/login/link", params={"code": code}).status_code == 303
        client.headers["X-CSRF-Token"] = client.get("/v1/session").json()["csrf"]
        assert change(client, current=None).status_code == 204
    with logged_in(running, user[0], FRESH):
        pass


def test_an_admin_sets_a_password_and_ends_what_the_user_has(running: Running, user: tuple[str, str]) -> None:
    with logged_in(running, user[0]) as client, running.client("admin") as admin:
        token = bearer(client)
        assert admin.patch(f"/v1/users/{user[1]}", json={"password": FRESH}).status_code == 204
        assert client.get("/v1/session").status_code == 401
        assert works(running, token)
        assert admin.patch(f"/v1/users/{user[1]}", json={"revoke_tokens": True}).status_code == 204
        assert not works(running, token)


def test_an_admin_lists_and_revokes_anybodys_tokens(running: Running, user: tuple[str, str]) -> None:
    path = f"/v1/users/{user[1]}/tokens"
    with logged_in(running, user[0]) as client, running.client("admin", team="blue") as admin:
        token = bearer(client, "found on a bus")
        (listed,) = admin.get(path).json()
        assert listed["name"] == "found on a bus"
        assert "digest" not in listed
        assert client.get(path).status_code == 403
        assert client.delete(f"{path}/{listed['id']}").status_code == 403
        assert works(running, token)
        assert admin.delete(f"{path}/{listed['id']}").status_code == 204
        assert not works(running, token)
        for missing in (f"/v1/users/{'f' * 32}/tokens", f"{path}/{'f' * 32}"):
            assert admin.delete(missing).status_code in (404, 405)
        assert admin.get(f"/v1/users/{'f' * 32}/tokens").status_code == 404
        other = running.teams["red"].who["member"].user
        assert admin.delete(f"/v1/users/{other}/tokens/{listed['id']}").status_code == 404


def test_the_command_line_changes_passwords_and_revokes_tokens(
    running: Running, user: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOSSSEARCH_REMOTE_URL", running.url)
    with logged_in(running, user[0]) as client:
        token = bearer(client)
        monkeypatch.setenv("LOSSSEARCH_REMOTE_TOKEN", token["Authorization"].partition(" ")[2])
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n{FRESH}\n"))
        assert main(["remote", "password"]) == 0
        assert client.get("/v1/session").status_code == 401
    assert works(running, token)
    monkeypatch.setenv("LOSSSEARCH_REMOTE_TOKEN", running.teams["red"].tokens["admin"])
    capsys.readouterr()
    assert main(["token", "list", "--user", user[0], "--json"]) == 0
    identifier = capsys.readouterr().out.partition('"id": "')[2][:32]
    assert main(["token", "revoke", identifier, "--user", user[0]]) == 0
    assert not works(running, token)
    assert main(["token", "list", "--user", "nobody-here"]) == 2
    assert "unknown user 'nobody-here'" in capsys.readouterr().err
