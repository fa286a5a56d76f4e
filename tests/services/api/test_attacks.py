"""What somebody hostile may send. The table in docs/service.md names each; tests of access are in `test_access`."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services import schema
from services.uploads import receiving
from tests.services.api.serving import TABLE, Running, connected, upload, upload_head
from tests.services.api.test_searches import ASKED, ask

NAMES = (
    "'; DROP TABLE ls_search; --",
    '" OR 1=1 --',
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "../../../etc/passwd",
    "{{ 7 * 7 }}",
    "%00%0d%0aSet-Cookie: a=b",
    "\u202egnp.exe",
)
"""Texts that mean something to a database, a spreadsheet, a browser, a file system, a template or a header."""


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_text_and_nothing_else(running: Running, ready: str, name: str) -> None:
    made = ask(running, ready, name=name)
    with running.client() as client:
        answer = client.get(f"/v1/searches/{made['id']}")
        table = upload(client, TABLE.encode(), name=name)
        assert table.status_code == 200
    assert answer.json()["name"] == table.json()["name"] == name
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    kept = running.database.run(lambda c: c.execute(select(schema.search.c.name)).scalars().all())
    assert name in kept
    assert all(path.stem.isalnum() for path in running.settings.datasets.glob("*.parquet"))


@pytest.mark.parametrize(
    "parameters",
    [
        {"cursor": "' OR 1=1 --"},
        {"cursor": "WzEuMCwgIicgT1IgMT0xIC0tIl0="},
        {"state": "done' OR '1'='1"},
        {"limit": "1; DROP TABLE ls_search"},
        {"limit": "1000000"},
    ],
)
def test_queries_are_values_and_no_sql(running: Running, parameters: dict[str, str]) -> None:
    with running.client() as client:
        answer = client.get("/v1/searches", params=parameters)
        assert (answer.status_code, answer.json()["status"]) == (422, 422)
        assert client.get("/v1/searches").status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b'{"name": ' + b"9" * 10_000 + b"}",
        b'{"name": NaN}',
        b'{"name": "\\ud800"}',
        b'{"name": "a\\u0000b"}',
        b"\xff\xfe{}",
        b"",
    ],
)
def test_json_that_is_none_is_refused(running: Running, content: bytes) -> None:
    with running.client("admin") as client:
        for path in ("/v1/datasets", "/v1/searches", "/v1/users", "/v1/session"):
            answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code in (400, 422), answer.text
            assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("value", [float("nan"), 1e999, 10**400, -(2**70), "\x00", "x" * 10_000, [[1]], {"a": 1}])
def test_options_of_wild_values(running: Running, ready: str, value: Any) -> None:
    for option in ("trials", "seed", "metric", "target", "constraints", "time_budget", "rates"):
        body = json.dumps({"dataset": ready, "name": "wild", "request": ASKED | {option: value}})
        with running.client() as client:
            answer = client.post("/v1/searches", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (option, answer.text)


def begun_upload(running: Running, length: int) -> tuple[socket.socket, str]:
    """A connection on which the headers of an upload were sent, and the dataset."""
    with running.client() as client:
        dataset = client.post("/v1/datasets", json={"name": "slow"}).json()["id"]
    opened = connected(running)
    head = upload_head(running, dataset, length, b"x")
    opened.sendall(head)
    return opened, dataset


def test_an_upload_that_stands_still_is_given_up(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "SILENCE", 0.5)
    opened, dataset = begun_upload(running, 1000)
    with opened:
        opened.sendall(b"a,b\n")
        answer = opened.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 408"), answer
    with running.client() as client:
        assert client.get(f"/v1/datasets/{dataset}").json()["state"] == "failed"
    assert not list(running.settings.incoming.glob(f"{dataset}*"))


def test_an_upload_that_drips_is_given_up(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "GRACE", 0.2)
    opened, _ = begun_upload(running, 1_000_000)
    with opened:
        opened.settimeout(0.3)
        answer = b""
        for _ in range(200):
            try:
                opened.sendall(b"x")
                answer = opened.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                break
            break
    assert answer.startswith(b"HTTP/1.1 408"), answer


def test_an_upload_that_breaks_off_leaves_nothing(running: Running) -> None:
    opened, dataset = begun_upload(running, 1000)
    with opened:
        opened.sendall(b"a,b\n")
    with running.client() as client:
        for _ in range(200):
            found = client.get(f"/v1/datasets/{dataset}").json()
            if found["state"] == "failed":
                break
            time.sleep(0.1)
    assert (found["state"], found["bytes"]) == ("failed", 0)
    assert not list(running.settings.incoming.glob(f"{dataset}*"))


def test_more_than_was_announced_is_not_read(running: Running) -> None:
    with running.client() as client:
        made = client.post("/v1/datasets", json={"name": "more"}).json()["id"]
    content = TABLE.encode()
    with connected(running) as opened:
        opened.sendall(upload_head(running, made, len(content), content) + content + b"1,f,no\n" * 1000)
        answer = opened.recv(1 << 16)
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400")), answer
    with running.client() as client:
        assert client.get(f"/v1/datasets/{made}").json()["rows"] in (60, None)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch /tmp/losssearch-yaml']",
        "task: binary\nslots: {base: {terms: {focal: !!python/name:os.system {}}}}",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ntask: *c",
        "task: binary\n" + "x: [" * 3000,
        "include: /etc/passwd",
    ],
)
def test_yaml_is_data(running: Running, text: str) -> None:
    mark = Path("/tmp/losssearch-yaml")
    mark.unlink(missing_ok=True)
    with running.client("reader") as client:
        answer = client.post("/v1/spaces/check", json={"text": text})
        assert (answer.status_code, answer.json().get("ok")) in ((200, False), (422, None)), answer.text
        assert "root:" not in answer.text
        assert client.post("/v1/spaces/sample", json={"text": text}).status_code == 422
        assert client.post("/v1/spaces/check", json={"text": "x" * 70_000}).status_code == 422
    assert not mark.exists()


def test_spaces_terms_and_metrics_are_told_and_sampled(running: Running) -> None:
    with running.client("reader") as client:
        names = [one["name"] for one in client.get("/v1/spaces").json()]
        drawn = client.post("/v1/spaces/sample", json={"name": names[0], "count": 3, "seed": 1}).json()
        assert len(drawn) == 3
        assert drawn == client.post("/v1/spaces/sample", json={"name": names[0], "count": 3, "seed": 1}).json()
        assert client.post("/v1/spaces/sample", json={"name": "/etc/passwd"}).status_code in (404, 422)
        assert client.get(f"/v1/spaces/{names[0]}").json()["name"] == names[0]
        terms = client.get("/v1/terms").json()
        assert {"focal"} <= {one["name"] for one in terms}
        assert client.get("/v1/terms/focal").json()["hyperparameters"]["gamma"]["high"] > 1
        plot = client.get("/v1/terms/focal/plot.svg")
        assert plot.headers["Content-Type"] == "image/svg+xml"
        assert "script" not in plot.headers["Content-Security-Policy"]
        assert b"<svg" in plot.content
        assert client.get("/v1/terms/none").status_code == client.get("/v1/terms/none/plot.svg").status_code == 404
        assert "roc_auc" in {one["name"] for one in client.get("/v1/metrics").json()}
