"""Events: pages of JSON, and a stream that continues after the last event that was seen."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from typing import Any

from services import events
from services.api import streams
from services.reading import searches as reading
from tests.services.api.serving import Running
from tests.services.api.test_searches import ask, end


def happen(running: Running, search: str, *numbers: int) -> None:
    found = [events.Event("trial", {"value": number / 8}, trial=number) for number in numbers]
    running.database.run(lambda c: events.write(c, search, found))


def messages(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The messages of a stream: ``event``, ``id`` where there is one, and ``data``."""
    message: dict[str, Any] = {}
    for line in lines:
        if not line:
            if "data" in message:
                yield message
            message = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            message[name] = json.loads(value) if name == "data" else value


def test_events_come_in_pages_of_json(running: Running, ready: str) -> None:
    search = ask(running, ready)["id"]
    happen(running, search, 0, 1, 2)
    happen(running, search, 2)  # told twice, kept once
    with running.client("reader") as client:
        first = client.get(f"/v1/searches/{search}/events", params={"limit": 2}).json()
        assert [(one["kind"], one["trial"]) for one in first["items"]] == [("state", None), ("trial", 0)]
        rest = client.get(f"/v1/searches/{search}/events", params={"after": first["next"]}).json()
        assert [one["trial"] for one in rest["items"]] == [1, 2]
        last = client.get(f"/v1/searches/{search}/events", params={"after": rest["next"]}).json()
    assert last == {"items": [], "next": rest["next"]}


def test_a_page_of_events_says_what_the_events_say(running: Running, ready: str) -> None:
    search = ask(running, ready)["id"]
    odd = {
        "text": 'a "quoted" \u00fc \\ $float',
        "number": math.nan,
        "rows": [1, {"deep": -math.inf}, 2.5],
        "none": None,
    }
    running.database.run(lambda c: events.write(c, search, [events.Event("note", odd, key="odd")]))
    with running.client("reader") as client:
        state, note = client.get(f"/v1/searches/{search}/events").json()["items"]
        assert client.get(f"/v1/searches/{search}/events", params={"after": note["id"]}).json()["next"] == note["id"]
    plain = running.database.run(lambda c: reading.list_events(c, search, 0, 10), reads=True)
    assert state == plain[0]
    assert {**note, "data": None} == {**plain[1], "data": None}
    assert note["data"] == {**odd, "number": None, "rows": [1, {"deep": None}, 2.5]}


def test_a_stream_tells_what_happens_and_continues_after_the_last_event(running: Running, ready: str) -> None:
    search = ask(running, ready)["id"]
    path = f"/v1/searches/{search}/events/stream"
    with running.client("reader") as client:
        with client.stream("GET", path) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            found = messages(answer.iter_lines())
            assert next(found)["data"]["data"] == {"state": "queued"}
            progress = next(found)
            assert (progress["event"], progress["data"]["state"]) == ("progress", "queued")
            happen(running, search, 0, 1)
            first, second = next(found), next(found)
            assert [one["data"]["trial"] for one in (first, second)] == [0, 1]
            assert int(second["id"]) > int(first["id"])
        happen(running, search, 2)  # while nobody listens
        end(running, search)
        with client.stream("GET", path, headers={"Last-Event-ID": first["id"]}) as answer:
            rest = list(messages(answer.iter_lines()))
    assert [one["data"].get("trial") for one in rest[:2]] == [1, 2]
    assert [one["event"] for one in rest[2:]] == ["progress", "end"]
    assert rest[-1]["data"] == {"state": "done"}


def test_a_stream_of_many_events_gives_each_once(running: Running, ready: str) -> None:
    search = ask(running, ready)["id"]
    happen(running, search, *range(2 * streams.PAGE + 7))
    end(running, search)
    with running.client("reader") as client, client.stream("GET", f"/v1/searches/{search}/events/stream") as answer:
        found = list(messages(answer.iter_lines()))
    assert [one["data"]["trial"] for one in found if one["event"] == "trial"] == list(range(2 * streams.PAGE + 7))
    assert [one["event"] for one in found].count("end") == 1


def test_a_flood_of_streams_is_refused_and_forgotten(running: Running, ready: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(streams, "MOST_OF_USER", 3)
    search = ask(running, ready)["id"]
    path = f"/v1/searches/{search}/events/stream"
    with running.client("reader") as client:
        opened = [client.stream("GET", path) for _ in range(3)]
        lines = [one.__enter__().iter_lines() for one in opened]
        assert all(next(one) for one in lines)
        refused = client.get(path)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
        assert refused.headers["Content-Type"] == "application/problem+json"
        for one in opened:
            one.__exit__(None, None, None)
        end(running, search)
        statuses = (client.get(path).status_code for _ in wait_a_minute())
        assert 200 in statuses


def wait_a_minute() -> Iterator[None]:
    for _ in range(120):
        yield
        time.sleep(0.5)


def test_a_stream_of_a_search_that_is_deleted_ends(running: Running, ready: str) -> None:
    search = ask(running, ready)["id"]
    with running.client() as client, running.client() as other:
        with client.stream("GET", f"/v1/searches/{search}/events/stream") as answer:
            found = messages(answer.iter_lines())
            next(found)
            other.post(f"/v1/searches/{search}/cancel")
            rest = list(found)
        assert rest[-1]["event"] == "end"
        assert other.delete(f"/v1/searches/{search}").status_code == 204
        assert client.get(f"/v1/searches/{search}/events/stream").status_code == 404
