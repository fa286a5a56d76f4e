"""Forms and addresses that no page of ours has made."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import func, select

from losssearch.errors import DataError
from services import schema
from services.catalogue.client import Catalogue
from services.pages.fairness import MOST_FLOORS
from services.pages.multipart import MOST
from services.pages.visiting import own_address
from services.uploads.sandbox import Converted
from tests.services.api.serving import PASSWORD, TABLE, Running, upload
from tests.services.pages.people import Page, Person

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
EMPTY_PART = b"--b\r\n\r\n\r\n"


def test_a_form_without_end_is_given_up(member: Person) -> None:
    content = EMPTY_PART * (8 * MOST // len(EMPTY_PART))
    answer = member.client.post("/datasets", content=content + b"--b--\r\n", headers=FORM)
    assert answer.status_code == 422, answer.text[-600:]
    assert "must have at most 64,000 bytes" in answer.text


def test_nobody_uploads_before_the_login(running: Running) -> None:
    host = running.url.removeprefix("http://")
    kind = FORM["Content-Type"]
    head = f"POST /datasets HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection((host.partition(":")[0], int(host.partition(":")[2])), timeout=60) as sent:
        sent.sendall(head.encode() + EMPTY_PART)  # the rest never comes
        answer = sent.recv(10_000).decode()
    assert answer.startswith("HTTP/1.1 303")
    assert "location: /login" in answer


@pytest.mark.parametrize("address", ["//[", "/\\[", "http://[", "//[::1"])
def test_an_address_that_cannot_be_read_leads_to_the_first_page(running: Running, address: str) -> None:
    assert own_address(address) == "/searches"
    given = {"name": "red-member", "password": PASSWORD, "next": address}
    with httpx.Client(base_url=running.url) as client:
        assert client.get("/login", params={"next": address}).status_code == 200
        assert client.post("/login", data=given).headers["Location"] == "/searches"
        for origin in ("http://[", "null", "http://elsewhere.example", running.url + ".elsewhere.example"):
            assert client.post("/login", data=given, headers={"Origin": origin}).status_code == 403
        assert client.post("/login", data=given, headers={"Origin": running.url}).status_code == 303


@pytest.mark.parametrize("field", [{"name": "n" * 101}, {"name": "a\0b"}, {"key": "k" * 201}, {"key": "a\0b"}])
def test_a_name_and_a_key_are_those_that_the_api_takes(running: Running, member: Person, field: dict[str, str]) -> None:
    given = {"dataset": member.upload(), "target": "income", "metric": "f1", "trials": "4"}
    count = select(func.count()).select_from(schema.search)
    before = running.database.run(lambda c: c.execute(count).scalar())
    answer = member.send("/searches", 422, **given, **field)
    assert f"{next(iter(field))} must be" in answer.text
    assert running.database.run(lambda c: c.execute(count).scalar()) == before


def test_an_address_asks_for_a_bounded_number_of_floors(
    running: Running, member: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def floor(self: Catalogue, gap: str, limit: float, rows: list[int], share: float) -> None:
        asked.append(limit)

    monkeypatch.setattr(Catalogue, "floor", floor)
    constraints = [("demographic_parity_difference", f"{n / 1000:g}") for n in range(1, 201)]
    query = [("dataset", member.upload()), ("target", "income"), ("task", "binary"), *[("sensitive", "sex")] * 20]
    query += [pair for gap, limit in constraints for pair in (("gap", gap), ("limit", limit))]
    answer = member.client.get("/searches/new/groups", params=query)
    assert answer.status_code == 200, answer.text[-600:]
    assert len(asked) == MOST_FLOORS
    assert answer.text.count("Groups of <bdi>sex</bdi>") == 1


@pytest.mark.parametrize("address", ["/datasets", "/tokens"])
def test_a_form_that_is_too_large_is_refused_by_a_page(member: Person, address: str) -> None:
    answer = member.client.post(address, content=b"x" * (member.running.settings.max_upload + 1_000_000), headers=FORM)
    assert answer.status_code == 413
    assert answer.headers["Content-Type"].startswith("text/html")
    page = Page(answer)
    page.require_harmless()
    assert ("a file may have at most 3 MB" if address == "/datasets" else "a form may have at most 1 MB") in page.words
    told = member.client.post(address, content=b"x" * 5_000_000, headers=FORM | {"Accept": "application/json"})
    assert (told.status_code, told.headers["Content-Type"]) == (413, "application/problem+json")


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("/tokens", "text/html", "text/html; charset=utf-8"),
        ("/tokens", "*/*", "application/problem+json"),
        ("/mlflow/graphql", "*/*", "application/problem+json"),
        ("/v1/searches", "text/html", "application/problem+json"),
    ],
)
def test_a_length_alone_is_refused_at_once(running: Running, path: str, accept: str, kind: str) -> None:
    """As the proxy announces what it has found too large: without any content."""
    address = httpx.URL(running.url)
    announced = "Content-Length: 9000000000000000"
    lines = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Accept: {accept}", announced, "", "")
    with socket.create_connection((address.host, address.port or 80), 60) as opened:
        opened.sendall("\r\n".join(lines).encode())
        told = b""
        while b"\r\n\r\n" not in told and (more := opened.recv(4096)):
            told += more
    head = told.partition(b"\r\n\r\n")[0].decode().lower()
    assert head.startswith("http/1.1 413"), head
    assert f"content-type: {kind}" in head


def test_api_and_pages_share_the_room_to_convert(
    running: Running, member: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, most, free = 0, 0, threading.Lock()

    def convert(*given: object) -> Converted:
        nonlocal at_once, most
        with free:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.5)
        with free:
            at_once -= 1
        raise DataError("not now")

    monkeypatch.setattr("services.api.upload.convert", convert)
    with running.client() as client, ThreadPoolExecutor(8) as pool:
        pages = [pool.submit(member.upload, name=f"page {n}") for n in range(4)]
        sent = [pool.submit(upload, client, TABLE.encode(), name=f"api {n}") for n in range(4)]
        assert {one.result().status_code for one in sent} == {422}
        assert len({one.result() for one in pages}) == 4
    assert most == 2
