"""Rules that hold on every route: who may ask, whose objects are seen, what each answer carries."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services import schema
from services.database import new_id
from tests.services.api.serving import Running
from tests.services.api.test_searches import ask

OPEN = {("GET", "/health"), ("GET", "/ready"), ("POST", "/v1/session")}
"""What answers without a token or session."""

IDS = ("search", "dataset", "token")
NEEDS_ADMIN = ("/v1/users", "/v1/teams", "/v1/workers", "/v1/audit")


def routes(running: Running) -> Iterator[tuple[str, str]]:
    """Every method and path of the API, with those that are not described."""
    for path, methods in running.app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path
    yield "GET", "/v1/openapi.json"


def filled(path: str, **names: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], uuid.uuid4().hex), path)


def send(client: httpx.Client, method: str, path: str) -> httpx.Response:
    bodies: dict[str, Any] = {"json": {}} if method in ("POST", "PATCH") else {}
    return client.request(method, path, **bodies)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer ls_000000000000_" + "A" * 43},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "losssearch=" + "A" * 43},
    ],
)
def test_nobody_is_answered_without_a_token(running: Running, headers: dict[str, str]) -> None:
    walked = 0
    with running.client(None) as client:
        client.headers.update(headers)
        for method, path in routes(running):
            answer = send(client, method, filled(path))
            walked += 1
            if (method, path) in OPEN:
                assert answer.status_code in (200, 422), (method, path)
                continue
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.json()["status"] == 401
    assert walked > 35


def test_scopes_and_roles(running: Running) -> None:
    with running.client("reader") as reader, running.client("writer") as writer:
        for method, path in routes(running):
            if (method, path) in OPEN:
                continue
            admin = path.startswith(NEEDS_ADMIN) or path == "/metrics"
            writes = method != "GET" and path not in ("/v1/spaces/check", "/v1/spaces/sample", "/v1/session")
            if writes or admin:
                assert send(reader, method, filled(path)).status_code == 403, (method, path)
            if admin:
                assert send(writer, method, filled(path)).status_code == 403, (method, path)
        answer = writer.post("/v1/tokens", json={"name": "more", "scope": "admin"})
        assert answer.status_code == 403


def test_another_teams_objects_are_not_there(running: Running, ready: str) -> None:
    search = ask(running, ready)["id"]
    with running.client("reader") as client:
        token = client.get("/v1/tokens").json()[0]["id"]
    bodies = {
        ("POST", "/v1/searches/{search}/resume"): {"json": {}},
        ("PUT", "/v1/datasets/{dataset}/content"): {
            "content": b"a",
            "headers": {"Content-Digest": f"sha-256=:{'A' * 43}=:"},
            "params": {"format": "csv"},
        },
    }
    walked = 0
    for who in ("writer", "admin"):
        with running.client(who, team="blue") as client:
            for method, path in routes(running):
                if not re.search(r"\{(search|dataset|token)\}", path) or path.startswith(NEEDS_ADMIN):
                    continue
                answer, nothing = (
                    client.request(method, filled(path, **ids), **bodies.get((method, path), {}))
                    for ids in ({"search": search, "dataset": ready, "token": token}, dict.fromkeys(IDS, "f" * 32))
                )
                assert answer.status_code == 404, (method, path, answer.text)
                assert re.sub(r"[0-9a-f]{32}", "ID", answer.text) == nothing.text.replace("f" * 32, "ID")
                walked += 1
            body = {"dataset": ready, "name": "x", "request": {"target": "income"}}
            assert client.post("/v1/searches", json=body).status_code == 404
            assert search not in client.get("/v1/searches").text
            assert ready not in client.get("/v1/datasets").text
    assert walked >= 30
    with running.client() as client:
        assert client.get(f"/v1/searches/{search}").status_code == 200


def test_every_answer_carries_the_headers(running: Running) -> None:
    with running.client("admin") as client:
        for method, path in routes(running):
            if path.endswith("/stream"):
                continue
            answer = send(client, method, filled(path))
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"], path
            assert "no-store" in answer.headers["Cache-Control"], path
            if answer.status_code >= 400:
                assert answer.headers["Content-Type"] == "application/problem+json", (path, answer.text)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil", ""])
def test_another_host_is_not_answered(running: Running, host: str) -> None:
    with running.client("admin") as client:
        answer = client.get("/v1/searches", headers={"Host": host})
    assert answer.status_code == 400
    assert host == "" or "Host header" in answer.json()["detail"]


def test_identifiers_that_are_none(running: Running) -> None:
    with running.client("admin") as client:
        for one in ("..%2f..%2fetc%2fpasswd", "%2e%2e", "A" * 32, "0" * 33, "' OR 1=1 --", "%00"):
            for path in (f"/v1/searches/{one}", f"/v1/datasets/{one}", f"/v1/searches/{one}/report"):
                assert client.get(path).status_code in (404, 422), path


def test_new_ids_are_what_routes_take() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", new_id())
    assert schema.search.c.id.type.length == 32


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/datasets", "GET, POST"),
        ("/v1/session", "DELETE, GET, POST"),
        ("/v1/users/{user}", "PATCH"),
        ("/v1/searches/{search}", "DELETE, GET"),
        ("/health", "GET"),
        ("/v1/spaces/check", "POST"),
        ("/tokens", "GET, POST"),
    ],
)
def test_a_refused_method_is_told_with_all_that_the_address_takes(running: Running, path: str, allowed: str) -> None:
    with running.client("admin") as client:
        answer = client.request("TRACE", filled(path))
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("value", [True, "600", "1e3"])
def test_a_number_is_no_truth_value_and_no_text(running: Running, value: object) -> None:
    for field in ("max_seconds", "max_running"):
        with running.client("admin") as client:
            answer = client.post("/v1/teams", json={"name": f"team-{value}".lower(), field: value})
        assert (answer.status_code, "should be a number" in answer.json()["detail"]) == (422, True), answer.text
