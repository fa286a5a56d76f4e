"""Datasets over HTTP: made, filled, previewed, deleted; what is refused."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import httpx
import pandas as pd
import pytest

from tests.services.api.serving import TABLE, Running, connected, digest_header, upload, upload_head


def test_an_uploaded_csv_becomes_a_table_with_the_kinds_that_losssearch_reads(running: Running) -> None:
    with running.client() as client:
        made = upload(client, TABLE.encode(), name="people")
        assert made.status_code == 200, made.text
        assert (made.json()["state"], made.json()["rows"], made.json()["columns"]) == ("ready", 60, 3)
        preview = client.get(f"/v1/datasets/{made.json()['id']}/preview").json()
    assert {column["name"]: column["kind"] for column in preview["columns"]} == {
        "age": "numeric",
        "sex": "categorical",
        "income": "categorical",
    }
    income = preview["columns"][2]
    assert income["values"] == [{"value": "no", "count": 40}, {"value": "yes", "count": 20}]
    stored = pd.read_parquet(running.settings.datasets / f"{made.json()['id']}.parquet")
    pd.testing.assert_frame_equal(stored, pd.read_csv(io.StringIO(TABLE)), check_dtype=False)
    assert list(running.settings.incoming.iterdir()) == []


def test_a_preview_waits_for_the_content(running: Running) -> None:
    with running.client() as client:
        made = client.post("/v1/datasets", json={"name": "empty"}).json()
        answer = client.get(f"/v1/datasets/{made['id']}/preview")
    assert made["state"] == "empty"
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "a dataset is previewed once it is ready, this one is not: upload its content",
    )


def test_content_is_sent_once(running: Running, ready: str) -> None:
    with running.client() as client:
        answer = client.put(
            f"/v1/datasets/{ready}/content?format=csv",
            content=b"a\n1\n",
            headers={"Content-Digest": digest_header(b"a\n1\n")},
        )
    assert answer.status_code == 409
    assert "does not change" in answer.json()["detail"]


def test_a_dataset_receives_one_upload_at_a_time(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    content = TABLE.encode()
    with running.client() as client:
        dataset = client.post("/v1/datasets", json={"name": "twice"}).json()["id"]
        head = upload_head(running, dataset, len(content), content)
        with connected(running) as first:
            first.sendall(head + content[:10])
            until(lambda: client.get(f"/v1/datasets/{dataset}").json()["state"] == "receiving")
            second = put(client, dataset, b"a,b\n1,2\n")
            held = client.get(f"/v1/datasets/{dataset}").json()["bytes"]
        until(lambda: not list(running.settings.incoming.iterdir()))
        again = put(client, dataset, content)
    assert not [record for record in caplog.records if record.exc_info]  # a client that goes away is no fault
    assert second.status_code == 409
    assert "one is under way" in second.json()["detail"]
    assert held == len(content)
    assert (again.status_code, again.json()["state"]) == (200, "ready")
    assert list(running.settings.incoming.iterdir()) == []


def put(client: httpx.Client, dataset: str, content: bytes) -> httpx.Response:
    headers = {"Content-Digest": digest_header(content)}
    return client.put(f"/v1/datasets/{dataset}/content?format=csv", content=content, headers=headers)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_content_that_is_no_table_may_be_sent_again(running: Running) -> None:
    with running.client() as client:
        answer = upload(client, b"PAR1 this is none", "parquet")
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("upload.parquet is not a table")
        assert answer.headers["Content-Type"] == "application/problem+json"
        failed = client.get("/v1/datasets").json()["items"][0]
        assert (failed["state"], failed["problem"]) == ("failed", answer.json()["detail"])
        again = client.put(
            f"/v1/datasets/{failed['id']}/content?format=csv",
            content=TABLE.encode(),
            headers={"Content-Digest": digest_header(TABLE.encode())},
        )
        assert (again.status_code, again.json()["state"], again.json()["problem"]) == (200, "ready", None)


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"Content-Digest": digest_header(b"other")}, 400, "it was changed on the way"),
        ({"Content-Digest": "md5=:AAAA:"}, 422, "must be sha-256=:BASE64:"),
        ({}, 422, "header.Content-Digest"),
    ],
)
def test_the_digest_is_required_and_compared(running: Running, headers: dict, status: int, said: str) -> None:
    with running.client() as client:
        made = client.post("/v1/datasets", json={"name": "digest"}).json()
        answer = client.put(f"/v1/datasets/{made['id']}/content?format=csv", content=b"a\n1\n", headers=headers)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text


def test_content_must_tell_its_length(running: Running) -> None:
    with running.client() as client:
        made = client.post("/v1/datasets", json={"name": "chunks"}).json()
        answer = client.put(
            f"/v1/datasets/{made['id']}/content?format=csv",
            content=iter([b"a\n", b"1\n"]),  # sent in chunks, without Content-Length
            headers={"Content-Digest": digest_header(b"a\n1\n")},
        )
    assert answer.status_code == 411


def test_the_limit_is_told_and_kept_with_length_and_without(running: Running) -> None:
    with running.client() as client:
        most = client.get("/v1/limits").json()["upload_bytes"]
        made = client.post("/v1/datasets", json={"name": "large"}).json()
        path = f"/v1/datasets/{made['id']}/content?format=csv"
        content = b"1" * (most + 1)
        headers = {"Content-Digest": digest_header(content)}
        announced = client.put(path, content=content, headers=headers)
        assert announced.status_code == 413
        assert "GET /v1/limits" in announced.json()["detail"]
        assert announced.headers["Content-Type"] == "application/problem+json"
        assert client.put(path, content=iter([content]), headers=headers).status_code in (411, 413)
        assert client.post("/v1/datasets", content=b" " * (2 << 20)).status_code == 413


def test_a_team_has_no_more_bytes_than_its_quota(running: Running) -> None:
    blue = running.teams["blue"].id
    with running.client("admin") as admin, running.client(team="blue") as client:
        assert admin.patch(f"/v1/teams/{blue}", json={"max_bytes": 10}).status_code == 204
        answer = upload(client, TABLE.encode())
        assert admin.patch(f"/v1/teams/{blue}", json={"max_bytes": 1_000_000}).status_code == 204
        assert upload(client, TABLE.encode()).status_code == 200
    assert (answer.status_code, "may take 10 bytes" in answer.json()["detail"]) == (403, True)


def test_a_dataset_is_deleted_with_its_file(running: Running) -> None:
    with running.client() as client:
        made = upload(client, TABLE.encode()).json()["id"]
        assert (running.settings.datasets / f"{made}.parquet").is_file()
        assert client.delete(f"/v1/datasets/{made}").status_code == 204
        assert client.get(f"/v1/datasets/{made}").status_code == 404
    assert not (running.settings.datasets / f"{made}.parquet").exists()


def test_lists_come_in_pages(running: Running) -> None:
    with running.client(team="blue") as client:
        for number in range(5):
            client.post("/v1/datasets", json={"name": f"page {number}"})
        found, cursor = [], None
        while True:
            page = client.get("/v1/datasets", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            found += [one["name"] for one in page["items"]]
            assert len(page["items"]) <= 2
            if (cursor := page["next"]) is None:
                break
        assert client.get("/v1/datasets", params={"cursor": "bm9uZQ=="}).status_code == 422
    assert [name for name in found if name.startswith("page")] == [f"page {n}" for n in (4, 3, 2, 1, 0)]
