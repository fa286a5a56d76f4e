"""Quotas hold exactly: as many as a team may have are taken, and one more is refused."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import func, select, update

from services import schema
from services.access.people import Quotas
from tests.services.api.serving import TABLE, Running, upload
from tests.services.api.test_searches import ASKED, ask

QUOTAS = Quotas()


@pytest.fixture(autouse=True)
def _usual_afterwards(running: Running) -> Iterator[None]:
    yield
    for team in running.teams.values():
        assert change(running, team.id, **{name: getattr(QUOTAS, name) for name in Quotas.__dataclass_fields__}) == 204


def change(running: Running, team: str, **quotas: float) -> int:
    with running.client("admin") as admin:
        return admin.patch(f"/v1/teams/{team}", json=quotas).status_code


def refused(answer: httpx.Response, said: str) -> bool:
    return answer.status_code == 403 and said in answer.json()["detail"]


def test_datasets_without_content_count_too(running: Running, ready: str) -> None:
    red = running.teams["red"].id
    count = running.database.run(
        lambda c: c.execute(select(func.count()).where(schema.dataset.c.team_id == red)).scalar_one()
    )
    change(running, red, max_datasets=count + 2)
    with running.client() as client:
        made = [client.post("/v1/datasets", json={"name": "empty"}) for _ in range(3)]
        assert [one.status_code for one in made[:2]] == [201, 201]
        assert refused(made[2], f"a team may have {count + 2} datasets")
        assert client.delete(f"/v1/datasets/{made[0].json()['id']}").status_code == 204
        assert client.post("/v1/datasets", json={"name": "empty"}).status_code == 201


def test_valid_tokens_of_a_user_are_bounded(running: Running) -> None:
    blue = running.teams["blue"].id
    with running.client(team="blue") as client:
        valid = len(client.get("/v1/tokens").json())
        change(running, blue, max_tokens=valid + 1)
        first = client.post("/v1/tokens", json={"name": "one more"})
        assert first.status_code == 201
        assert refused(client.post("/v1/tokens", json={"name": "too many"}), f"may have {valid + 1} valid tokens")
        assert client.delete(f"/v1/tokens/{first.json()['id']}").status_code == 204
        again = client.post("/v1/tokens", json={"name": "in its place", "seconds": 3600})
        assert again.status_code == 201
        expired = update(schema.token).where(schema.token.c.id == again.json()["id"]).values(expires=1.0)
        running.database.run(lambda c: c.execute(expired))
        assert client.post("/v1/tokens", json={"name": "in its place"}).status_code == 201
    with running.client("admin", team="blue") as other:  # each user's own
        assert other.post("/v1/tokens", json={"name": "mine"}).status_code == 201


def test_bytes_of_datasets_and_searches_count_together(running: Running, ready: str) -> None:
    red, size = running.teams["red"].id, len(TABLE.encode())

    def used(table: object) -> int:
        column = table.c.bytes  # type: ignore[attr-defined]
        chosen = select(func.coalesce(func.sum(column), 0)).where(table.c.team_id == red)  # type: ignore[attr-defined]
        return int(running.database.run(lambda c: c.execute(chosen).scalar_one()))

    search = ask(running, ready)["id"]
    folder = update(schema.search).where(schema.search.c.id == search).values(bytes=1_000_000)
    running.database.run(lambda c: c.execute(folder))
    most = used(schema.dataset) + used(schema.search) + size
    with running.client() as client:
        change(running, red, max_bytes=most - 1)
        assert refused(upload(client, TABLE.encode()), "your searches 1,000,000")
        change(running, red, max_bytes=most)
        assert upload(client, TABLE.encode()).status_code == 200  # exactly as many
        change(running, red, max_bytes=used(schema.dataset) + used(schema.search) - 1)
        body = {"dataset": ready, "name": "x", "request": ASKED}
        assert refused(client.post("/v1/searches", json=body), "delete some")
        change(running, red, max_bytes=used(schema.dataset) + used(schema.search))
        assert client.post("/v1/searches", json=body).status_code == 201
        client.post(f"/v1/searches/{search}/cancel")
        change(running, red, max_bytes=0)
        assert refused(client.post(f"/v1/searches/{search}/resume", json={}), "delete some")


def test_waiting_searches_and_trials_up_to_the_quota(running: Running, ready: str) -> None:
    blue = running.teams["blue"].id
    with running.client(team="blue") as client:
        dataset = upload(client, TABLE.encode()).json()["id"]
        change(running, blue, max_queued=2, max_trials=64)
        body = {"dataset": dataset, "name": "x", "request": ASKED | {"trials": 64}}
        assert [client.post("/v1/searches", json=body).status_code for _ in "abc"] == [201, 201, 403]
