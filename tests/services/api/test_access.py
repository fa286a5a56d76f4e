"""Who is let in: sessions and their CSRF token, tokens, limits on failures, users, the audit log."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import delete, update

from services import schema
from services.access import failures, sessions
from tests.services.api.serving import PASSWORD, Running


@pytest.fixture(autouse=True)
def _no_failures_before(running: Running) -> None:
    running.database.run(lambda c: c.execute(delete(schema.failure)))


def log_in(client: httpx.Client, name: str = "red-member", password: str = PASSWORD) -> httpx.Response:
    return client.post("/v1/session", json={"name": name, "password": password})


def test_a_session_changes_things_with_its_csrf_token_alone(running: Running) -> None:
    with running.client(None) as client:
        who = log_in(client)
        assert who.status_code == 200, who.text
        cookie = who.headers["Set-Cookie"]
        assert all(part in cookie for part in ("losssearch=", "HttpOnly", "SameSite=lax", "Path=/"))
        csrf = who.json()["csrf"]
        assert client.get("/v1/session").json() == who.json()
        for headers in ({}, {"X-CSRF-Token": "wrong"}, {"X-CSRF-Token": ""}):
            refused = client.post("/v1/datasets", json={"name": "forged"}, headers=headers)
            assert (refused.status_code, "CSRF" in refused.json()["detail"]) == (403, True)
        assert client.post("/v1/datasets", json={"name": "mine"}, headers={"X-CSRF-Token": csrf}).status_code == 201
        assert client.delete("/v1/session").status_code == 403
        assert client.delete("/v1/session", headers={"X-CSRF-Token": csrf}).status_code == 204
        assert client.get("/v1/searches").status_code == 401


def test_a_form_of_another_site_logs_nobody_in(running: Running) -> None:
    with running.client(None) as client:
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            content = f'{{"name": "red-member", "password": "{PASSWORD}"}}'
            answer = client.post("/v1/session", content=content, headers={"Content-Type": kind})
            assert (answer.status_code, "Set-Cookie" in answer.headers) == (422, False)


def test_https_has_a_cookie_that_no_other_host_can_set(running: Running) -> None:
    from dataclasses import replace

    from services.api.guard import cookie_name

    assert cookie_name(replace(running.settings, public_url="https://loss.example")) == "__Host-losssearch"


def test_a_session_ends_by_time_and_with_its_user(running: Running) -> None:
    with running.client(None) as client, running.client("admin") as admin:
        log_in(client)
        assert client.get("/v1/session").status_code == 200
        running.database.run(lambda c: c.execute(update(schema.session).values(expires=1.0)))
        assert client.get("/v1/session").status_code == 401
        made = admin.post(
            "/v1/users", json={"name": "temp", "team_id": running.teams["red"].id, "password": PASSWORD}
        ).json()["id"]
        log_in(client, "temp")
        assert client.get("/v1/session").status_code == 200
        assert admin.patch(f"/v1/users/{made}", json={"disabled": True}).status_code == 204
        assert client.get("/v1/session").status_code == 401
        assert log_in(client, "temp").status_code == 401


def test_guesses_are_limited_for_a_name_whoever_makes_them(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(failures.MOST, "login", 3)
    with running.client(None) as client:
        for _ in range(3):
            assert log_in(client, password="wrong guess").status_code == 401
        limited = log_in(client)
        assert (limited.status_code, int(limited.headers["Retry-After"]) > 0) == (429, True)
        assert log_in(client, "blue-member").status_code == 200
    running.database.run(lambda c: c.execute(update(schema.failure).values(at=1.0)))
    with running.client(None) as client:
        assert log_in(client).status_code == 200


def test_wrong_tokens_are_limited_and_right_ones_are_not(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(failures.MOST, "token-ip", 3)
    wrong = {"Authorization": "Bearer ls_000000000000_" + "A" * 43}
    with running.client() as client:
        found = [client.get("/v1/searches", headers=wrong).status_code for _ in range(5)]
        assert found == [401, 401, 401, 429, 429]
        assert client.get("/v1/searches").status_code == 200


def test_an_unknown_name_is_told_as_a_wrong_password_is(running: Running) -> None:
    with running.client(None) as client:
        unknown, wrong = log_in(client, "nobody"), log_in(client, password="wrong guess")
    assert unknown.json() == wrong.json()


def test_a_revoked_and_an_expired_token(running: Running) -> None:
    with running.client() as client:
        made = client.post("/v1/tokens", json={"name": "short", "scope": "read", "seconds": 3600}).json()
        revoked = client.post("/v1/tokens", json={"name": "gone", "scope": "read"}).json()
        for one in (made, revoked):
            headers = {"Authorization": f"Bearer {one['token']}"}
            assert client.get("/v1/searches", headers=headers).status_code == 200
            assert client.post("/v1/datasets", json={"name": "x"}, headers=headers).status_code == 403
        assert client.delete(f"/v1/tokens/{revoked['id']}").status_code == 204
        change = update(schema.token).where(schema.token.c.id == made["id"]).values(expires=1.0)
        running.database.run(lambda c: c.execute(change))
        said = []
        for one in (made, revoked):
            answer = client.get("/v1/searches", headers={"Authorization": f"Bearer {one['token']}"})
            assert answer.status_code == 401
            said.append(answer.json()["detail"])
        assert said == ["this token has expired", "this token was revoked"]
        listed = client.get("/v1/tokens").text
    assert made["token"] not in listed
    assert made["token"].split("_")[1] in listed
    kept = running.database.run(lambda c: c.execute(schema.token.select()).mappings().all())
    assert not any(made["token"].rpartition("_")[2] in str(dict(row)) for row in kept)


def test_a_login_link_works_once(running: Running) -> None:
    user = running.teams["red"].who["member"].user
    code = running.database.run(lambda c: sessions.login_link(c, user))

    def follow(given: str) -> sessions.Session | None:
        return running.database.run(lambda c: sessions.follow(c, given, "127.0.0.1"))

    assert follow("A" * 43) is None
    opened = follow(code)
    assert opened is not None
    assert opened.principal.name == "red-member"
    assert follow(code) is None
    old = running.database.run(lambda c: sessions.login_link(c, user))
    running.database.run(lambda c: c.execute(update(schema.session).values(expires=1.0)))
    assert follow(old) is None
    with running.client(None) as client:  # a code is no cookie
        unused = running.database.run(lambda c: sessions.login_link(c, user))
        assert client.get("/v1/session", headers={"Cookie": f"losssearch={unused}"}).status_code == 401


def test_somebody_always_manages_users(running: Running) -> None:
    with running.client("admin") as client:
        admins = {one["name"]: one["id"] for one in client.get("/v1/users").json() if one["role"] == "admin"}
        assert set(admins) == {"red-admin", "blue-admin"}
        assert client.patch(f"/v1/users/{admins['blue-admin']}", json={"role": "member"}).status_code == 204
        for change in ({"disabled": True}, {"role": "member"}):
            last = client.patch(f"/v1/users/{admins['red-admin']}", json=change)
            assert (last.status_code, "somebody must manage users" in last.json()["detail"]) == (409, True)
        assert client.patch(f"/v1/users/{admins['blue-admin']}", json={"role": "admin"}).status_code == 204


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "a b"}, "String should match pattern"),
        ({"name": "x' OR 1=1 --"}, "String should match pattern"),
        ({"password": "short"}, "at least 10 characters"),
        ({"role": "root"}, "'member' or 'admin'"),
        ({"more": 1}, "Extra inputs are not permitted"),
    ],
)
def test_users_that_cannot_be(running: Running, body: dict[str, Any], said: str) -> None:
    usual = {"name": "other", "team_id": running.teams["red"].id, "password": PASSWORD}
    with running.client("admin") as client:
        answer = client.post("/v1/users", json=usual | body)
        assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.text
        assert answer.json()["errors"][0]["where"].startswith("body.")
        assert client.post("/v1/users", json=usual | {"name": "red-member"}).status_code == 409
        assert client.post("/v1/users", json=usual | {"team_id": "f" * 32}).status_code == 404


def test_changes_are_on_record_without_secrets(running: Running) -> None:
    with running.client("admin") as client:
        made = client.post("/v1/tokens", json={"name": "audited"}).json()
        user = running.teams["red"].who["member"].user
        assert client.patch(f"/v1/users/{user}", json={"password": "another password"}).status_code == 204
        found = client.get("/v1/audit", params={"limit": 2}).json()
        text = client.get("/v1/audit").text
        older = client.get("/v1/audit", params={"before": found["next"], "limit": 1}).json()["items"]
    assert [(one["action"], one["user_name"]) for one in found["items"]] == [
        ("user.change", "red-admin"),
        ("token.create", "red-admin"),
    ]
    assert older[0]["id"] < found["items"][1]["id"]
    assert "another password" not in text
    assert made["token"] not in text
    running.database.run(lambda c: c.execute(update(schema.user).where(schema.user.c.id == user).values(password=None)))


def test_metrics_are_for_an_admins_token(running: Running) -> None:
    with running.client("admin") as client:
        client.get("/v1/searches")
        found = client.get("/metrics")
    assert found.headers["Content-Type"].startswith("text/plain")
    assert 'losssearch_searches{state="queued"}' in found.text
    assert "http_server_request_duration_seconds_count" in found.text
    assert 'http_route="/v1/searches"' in found.text


def test_ready_tells_what_is_missing(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert httpx.get(f"{running.url}/ready").json() == {"ok": True, "problems": []}
    from services import migrations

    monkeypatch.setattr(migrations, "head", lambda: "9999")
    answer = httpx.get(f"{running.url}/ready")
    assert (answer.status_code, "must be at version 9999" in answer.json()["problems"][0]) == (503, True)


def test_a_token_makes_none_that_outlives_it(running: Running) -> None:
    with running.client() as client:
        short = client.post("/v1/tokens", json={"name": "an hour", "seconds": 3600}).json()["token"]
    with running.client(None, headers={"Authorization": f"Bearer {short}"}) as client:
        for seconds in (None, 86_400):
            answer = client.post("/v1/tokens", json={"name": "for longer", "seconds": seconds})
            assert answer.status_code == 403, answer.text
            assert "must not outlive" in answer.json()["detail"]
        assert client.post("/v1/tokens", json={"name": "half of it", "seconds": 1800}).status_code == 201
