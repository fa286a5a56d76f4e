"""The same service on PostgreSQL, whose locks, types and errors are not SQLite's."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from services import schema
from services.access import sessions
from tests.services.api.serving import PASSWORD, TABLE, serving, upload
from tests.services.api.test_events import happen, messages
from tests.services.api.test_searches import ASKED, end


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
def test_a_search_from_login_to_deletion(empty_url: str, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/studies.db"
    with serving(tmp_path, database_url=empty_url, storage_url=storage) as running:
        assert httpx.get(f"{running.url}/ready").json() == {"ok": True, "problems": []}
        with running.client() as client, running.client("admin") as admin:
            dataset = upload(client, TABLE.encode()).json()["id"]
            body = {"dataset": dataset, "name": "mine", "request": ASKED}

            made: list[str] = []
            key = {"Idempotency-Key": "one"}
            threads = [
                threading.Thread(target=lambda: made.append(client.post("/v1/searches", json=body, headers=key).text))
                for _ in range(6)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found = client.get("/v1/searches").json()["items"]
            assert len(made) == 6
            assert [f'"id":"{found[0]["id"]}"' in one for one in made] == [True] * 6, made
            search = found[0]["id"]
            assert len(found) == 1

            for number in range(3):
                client.post("/v1/searches", json=body | {"name": f"n{number}"})
            first = client.get("/v1/searches", params={"limit": 3}).json()
            rest = client.get("/v1/searches", params={"limit": 3, "cursor": first["next"]}).json()
            assert [one["id"] for one in rest["items"]] == [search]
            admin.patch(f"/v1/teams/{running.teams['red'].id}", json={"max_queued": 4})
            assert client.post("/v1/searches", json=body).status_code == 403
            happen(running, search, 0, 1)
            end(running, search)
            with client.stream("GET", f"/v1/searches/{search}/events/stream") as answer:
                kinds = [one["event"] for one in messages(answer.iter_lines())]
            assert kinds == ["state", "trial", "trial", "progress", "end"]
            assert client.post(f"/v1/searches/{search}/resume", json={"trials": 9}).status_code == 200
            assert client.post(f"/v1/searches/{search}/cancel").json()["state"] == "cancelled"
            assert client.delete(f"/v1/searches/{search}").status_code == 204
            for path in ("/v1/tokens", "/v1/users", "/v1/teams", "/v1/workers", "/v1/audit", "/v1/limits", "/metrics"):
                assert admin.get(path).status_code == 200, path
            token = client.post("/v1/tokens", json={"name": "t", "scope": "read"}).json()["id"]
            assert client.delete(f"/v1/tokens/{token}").status_code == 204
            assert admin.post("/v1/teams", json={"name": "red"}).status_code == 409
        with running.client(None) as client:
            for password, status in (("wrong guess", 401), (PASSWORD, 200)):
                answer = client.post("/v1/session", json={"name": "red-member", "password": password})
                assert answer.status_code == status
            csrf = {"X-CSRF-Token": answer.json()["csrf"]}
            assert client.delete("/v1/session", headers=csrf).status_code == 204
        code = running.database.run(lambda c: sessions.login_link(c, running.teams["red"].who["member"].user))
        assert running.database.run(lambda c: sessions.follow(c, code, "here")) is not None
        left = running.database.run(lambda c: c.execute(select(func.count()).select_from(schema.event)).scalar_one())
        assert left == 3  # the first of each search that is still there
