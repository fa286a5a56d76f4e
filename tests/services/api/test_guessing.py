"""Whoever guesses passwords is held up, and holds up nobody else. The proxy in front tells addresses."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import delete, update

from services import schema
from services.access import failures
from tests.services.api.serving import PASSWORD, Running

HOME, OFFICE, ATTACKER = "192.0.2.1", "198.51.100.7", "203.0.113.5"


@pytest.fixture(autouse=True)
def _nothing_before(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(failures.MOST, "login", 3)  # as each takes a while
    for table in (schema.failure, schema.known):
        running.database.run(lambda c, table=table: c.execute(delete(table)))


def log_in(
    running: Running, address: str, password: str = PASSWORD, client: httpx.Client | None = None
) -> httpx.Response:
    body = {"name": "red-member", "password": password}
    given = {"json": body, "headers": {"X-Forwarded-For": address}}
    if client is not None:
        return client.post("/v1/session", **given)
    with httpx.Client(base_url=running.url, timeout=60) as alone:
        return alone.post("/v1/session", **given)


def guesses(running: Running, address: str, count: int) -> list[int]:
    return [log_in(running, address, f"a wrong guess {n}").status_code for n in range(count)]


def test_guesses_lock_the_place_that_makes_them_and_no_other(running: Running) -> None:
    assert log_in(running, HOME).status_code == 200
    found = guesses(running, ATTACKER, failures.MOST["login"] + 2)
    assert found[-2:] == [429, 429]
    assert log_in(running, ATTACKER).status_code == 429  # even with the right one
    assert log_in(running, HOME).status_code == 200


def test_guesses_from_everywhere_slow_down_unknown_places_and_lock_none(running: Running) -> None:
    assert log_in(running, HOME).status_code == 200
    many = ["login-name:red-member"] * (failures.SLOW + 20)
    running.database.run(lambda c: failures.failed(c, many))
    slowed = log_in(running, OFFICE)
    assert slowed.status_code == 429
    assert int(slowed.headers["Retry-After"]) <= failures.LONGEST_WAIT
    assert log_in(running, HOME).status_code == 200
    later = update(schema.failure).values(at=schema.failure.c.at - failures.LONGEST_WAIT)
    running.database.run(lambda c: c.execute(later))
    assert log_in(running, OFFICE).status_code == 200


def test_the_pause_grows_with_the_failures(running: Running) -> None:
    pauses = []
    for count in (failures.SLOW - 1, failures.SLOW, failures.SLOW + 3, failures.SLOW + 90):
        running.database.run(lambda c: c.execute(delete(schema.failure)))
        running.database.run(lambda c, n=count: failures.failed(c, ["login-name:red-member"] * n))
        running.database.run(lambda c: c.execute(update(schema.failure).values(at=schema.failure.c.at + 5.0)))
        answer = log_in(running, OFFICE, "a wrong guess")
        pauses.append(int(answer.headers.get("Retry-After", 0)))
    # Five seconds from now, and 0, 1, 8 and 30 after that.
    assert pauses[0] == 0
    assert 1 <= pauses[1] <= 6 < pauses[2] <= 13 < pauses[3] <= 35


def test_a_known_browser_is_let_in_whatever_its_neighbours_do(running: Running) -> None:
    with httpx.Client(base_url=running.url, timeout=60) as client:
        assert log_in(running, HOME, client=client).status_code == 200
        assert guesses(running, HOME, failures.MOST["login"] + 1)[-1] == 429
        running.database.run(lambda c: failures.failed(c, [f"login-ip:{HOME}"] * failures.MOST["login-ip"]))
        assert log_in(running, HOME).status_code == 429
        again = log_in(running, HOME, client=client)
        assert again.status_code == 200
        browser = next(one for one in again.headers.get_list("Set-Cookie") if "-browser=" in one)
        assert all(part in browser for part in ("HttpOnly", "SameSite=lax", "Max-Age=7776000"))
        wrong = [log_in(running, HOME, "a wrong guess", client).status_code for _ in range(failures.MOST["login"] + 1)]
        assert wrong[-1] == 429  # a browser that was stolen guesses no more than others
    kept = running.database.run(lambda c: c.execute(schema.known.select()).mappings().all())
    assert browser.partition("=")[2].partition(";")[0] not in str(kept)
    assert {row["mark"].partition(":")[0] for row in kept} == {"ip", "browser"}


def test_the_cookie_of_a_browser_lets_nobody_in(running: Running) -> None:
    with httpx.Client(base_url=running.url, timeout=60) as client:
        log_in(running, HOME, client=client)
        secret = client.cookies["losssearch-browser"]
    assert httpx.get(f"{running.url}/v1/session", headers={"Cookie": f"losssearch={secret}"}).status_code == 401
    cookie = {"Cookie": f"losssearch-browser={secret}"}
    assert httpx.get(f"{running.url}/v1/session", headers=cookie).status_code == 401
