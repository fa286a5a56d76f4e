"""What the queue promises, on SQLite and on PostgreSQL (where LOSSSEARCH_TEST_POSTGRES names one)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, update

from losssearch.storage.engine import Database
from services import database as database_of_the_service
from services import events, schema
from services.database import new_id
from services.events import Event
from services.queue import (
    MOST_LOST,
    RETRIES,
    Beat,
    Claim,
    KeyReusedError,
    LeaseLostError,
    NoSearchError,
    Progress,
    StateError,
    beat,
    cancel,
    claim,
    enter,
    finish,
    give_back,
    leave,
    requeue,
    retry_later,
    seen,
    watch,
)
from services.queue.rows import locked
from tests.services.conftest import House


def take(database: Database, **given: float) -> Claim:
    found = claim(database, new_id(), **given)
    assert found is not None
    return found


def expire(house: House, search: str) -> None:
    """Let a lease end now."""
    house.database.run(
        lambda connection: connection.execute(
            update(schema.search).where(schema.search.c.id == search).values(lease_until=time.time() - 1)
        )
    )


def awaken(house: House, search: str) -> None:
    """Let what waits wait no longer."""
    house.database.run(
        lambda connection: connection.execute(
            update(schema.search).where(schema.search.c.id == search).values(not_before=0)
        )
    )


def told(house: House, search: str) -> list[Event]:
    return house.database.run(lambda connection: events.read(connection, search), reads=True)


def states(house: House, search: str) -> list[str]:
    return [one.data["state"] for one in told(house, search) if one.kind == "state"]


def test_a_search_runs_once_from_claim_to_end(house: House) -> None:
    search = house.submit(request={"trials": 4, "metric": "f1"})
    assert house.row(search)["state"] == "queued"
    held = take(house.database)
    assert (held.search, held.attempt, held.request) == (search, 1, {"trials": 4, "metric": "f1"})
    assert claim(house.database, new_id()) is None
    assert beat(house.database, held, Progress(stage="search", done=3, total=4, best=0.5)) == Beat(cancel=False)
    finish(house.database, held, "done", 0, summary={"grade": "better"})
    row = house.row(search)
    assert (row["state"], row["exit_code"], row["summary"]) == ("done", 0, {"grade": "better"})
    assert (row["stage"], row["done"], row["total"], row["best"]) == ("search", 3, 4, 0.5)
    assert row["started"] <= row["ended"]
    assert states(house, search) == ["queued", "running", "done"]


def test_the_end_is_written_once_however_often_it_is_told(house: House) -> None:
    search = house.submit()
    held = take(house.database)
    finish(house.database, held, "done", 0)
    before = house.row(search)
    finish(house.database, held, "failed", 2, "the answer to the first commit was lost")
    assert house.row(search) == before
    with pytest.raises(LeaseLostError, match="it is done"):
        beat(house.database, held)


def test_a_revision_changes_with_what_is_seen_and_not_with_signs_of_life(house: House) -> None:
    search = house.submit()
    held = take(house.database)
    before = house.row(search)["revision"]
    beat(house.database, held)
    assert house.row(search)["revision"] == before
    for _ in range(2):
        beat(house.database, held, Progress(done=1))
        assert house.row(search)["revision"] == before + 1


def test_a_lease_that_ended_is_claimed_and_its_old_holder_writes_nothing(house: House) -> None:
    search = house.submit()
    old = take(house.database, lease=0.01)
    time.sleep(0.05)
    new = take(house.database)
    assert (new.search, new.attempt) == (search, 2)
    assert watch(house.database, [old]) == {search: None}
    assert watch(house.database, [new]) == {search: Beat(cancel=False)}
    for write in (
        lambda: beat(house.database, old, Progress(done=9), [Event("note", {"text": "old"})]),
        lambda: finish(house.database, old, "failed", 2, "old"),
        lambda: give_back(house.database, old),
        lambda: retry_later(house.database, old, "old"),
    ):
        with pytest.raises(LeaseLostError, match="attempt 2 is another's"):
            write()
    assert house.row(search)["done"] == 0
    assert house.row(search)["holder"] == new.holder
    assert [one for one in told(house, search) if one.kind == "note"] == []
    finish(house.database, new, "unmet", 3)


def test_beats_keep_a_lease(house: House) -> None:
    house.submit()
    held = take(house.database, lease=0.05)
    beat(house.database, held, lease=60)
    time.sleep(0.1)
    assert claim(house.database, new_id()) is None


def test_a_search_that_kills_its_workers_fails_at_last(house: House) -> None:
    search = house.submit()
    held = take(house.database)
    for done in range(MOST_LOST):
        beat(house.database, held, Progress(done=done), [Event("trial", trial=0)])
        expire(house, search)
        held = take(house.database)
    assert held.attempt == MOST_LOST + 1
    expire(house, search)
    assert claim(house.database, new_id()) is None
    assert house.row(search)["state"] == "failed"
    assert "lost 6 times in a row, without any progress" in house.row(search)["message"]


def test_progress_forgives_lost_workers(house: House) -> None:
    search = house.submit()
    held = take(house.database)
    for number in range(MOST_LOST + 3):
        beat(house.database, held, None, [Event("trial", trial=number)])
        expire(house, search)
        held = take(house.database)
    assert house.row(search)["state"] == "running"


def test_a_failure_that_may_pass_is_tried_again_later_and_not_for_ever(house: House) -> None:
    search = house.submit()
    for number, wait in enumerate(RETRIES):
        held = take(house.database)
        assert retry_later(house.database, held, f"fault {number}", 4) == "queued"
        assert retry_later(house.database, held, f"fault {number}", 4) == "queued"
        row = house.row(search)
        assert row["not_before"] - row["updated"] == pytest.approx(wait, abs=1)
        assert claim(house.database, new_id()) is None
        awaken(house, search)
    assert retry_later(house.database, take(house.database), "the last fault\x00", 4) == "failed"
    row = house.row(search)
    assert (row["state"], row["exit_code"], row["message"], row["tries"]) == ("failed", 4, "the last fault", 3)


def test_what_is_given_back_is_claimed_at_once(house: House) -> None:
    search = house.submit()
    held = take(house.database)
    assert give_back(house.database, held) == "queued"
    assert give_back(house.database, held) == "queued"
    assert take(house.database).attempt == 2
    with pytest.raises(LeaseLostError):
        give_back(house.database, held)
    assert house.row(search)["state"] == "running"


def test_cancelling(house: House) -> None:
    def ask(search: str) -> str:
        return house.database.run(lambda connection: cancel(connection, search))

    waiting = house.submit()
    assert [ask(waiting), ask(waiting)] == ["cancelled", "cancelled"]
    assert claim(house.database, new_id()) is None

    running = house.submit()
    held = take(house.database)
    assert [ask(running), ask(running)] == ["cancelling", "cancelling"]
    assert beat(house.database, held) == Beat(cancel=True)
    assert watch(house.database, [held]) == {running: Beat(cancel=True)}
    finish(house.database, held, "cancelled", 130)
    assert ask(running) == "cancelled"
    assert states(house, running) == ["queued", "running", "cancelling", "cancelled"]

    for how in (give_back, lambda database, held: retry_later(database, held, "")):
        search = house.submit()
        held = take(house.database)
        ask(search)
        assert how(house.database, held) == "cancelled"

    with pytest.raises(NoSearchError, match="there is no search 'none'"):
        ask("none")


def test_a_search_whose_worker_was_lost_is_cancelled_without_one(house: House) -> None:
    search = house.submit()
    take(house.database)
    expire(house, search)
    assert house.database.run(lambda connection: cancel(connection, search)) == "cancelled"

    search = house.submit()
    held = take(house.database)
    house.database.run(lambda connection: cancel(connection, search))
    expire(house, search)
    assert claim(house.database, new_id()) is None
    assert house.row(search)["state"] == "cancelled"
    with pytest.raises(LeaseLostError):
        beat(house.database, held)


def test_a_search_that_has_ended_continues(house: House) -> None:
    search = house.submit()
    with pytest.raises(StateError, match="this one is queued"):
        house.database.run(lambda connection: requeue(connection, search, request={"trials": 8}))
    finish(house.database, take(house.database), "failed", 2, "bad input")
    house.database.run(lambda connection: requeue(connection, search, request={"trials": 8}))
    row = house.row(search)
    assert (row["state"], row["message"], row["exit_code"], row["ended"]) == ("queued", "", None, None)
    held = take(house.database)
    assert (held.search, held.attempt, held.request) == (search, 2, {"trials": 8})


def test_the_team_with_the_fewest_running_ones_is_next(house: House) -> None:
    house.team("two")
    first = [house.submit("one") for _ in range(3)]
    second = [house.submit("two") for _ in range(2)]
    taken = [take(house.database).search for _ in range(5)]
    assert taken == [first[0], second[0], first[1], second[1], first[2]]


def test_a_team_runs_no_more_than_it_may(house: House) -> None:
    house.team("small", max_running=1)
    searches = [house.submit("small") for _ in range(2)]
    held = take(house.database)
    assert claim(house.database, new_id()) is None
    expire(house, searches[0])
    assert take(house.database).search == searches[0]
    assert claim(house.database, new_id()) is None
    with pytest.raises(LeaseLostError):
        finish(house.database, held, "done", 0)


def test_a_key_stands_for_one_request(house: House) -> None:
    first = house.submit(idempotency_key="k", idempotency_digest="a")
    assert house.submit(idempotency_key="k", idempotency_digest="a") == first
    with pytest.raises(KeyReusedError):
        house.submit(idempotency_key="k", idempotency_digest="b")
    assert len({house.submit(), house.submit(), first}) == 3
    house.team("two")
    assert house.submit("two", idempotency_key="k", idempotency_digest="b") != first


def test_many_claims_at_once_give_each_search_to_one(house: House, reopen: Callable[[], Database]) -> None:
    house.team("narrow", max_running=3)
    searches = {house.submit() for _ in range(20)} | {house.submit("narrow") for _ in range(10)}
    taken: list[Claim] = []
    problems: list[BaseException] = []

    def work(database: Database) -> None:
        try:
            taken.extend(found for _ in range(10) if (found := claim(database, new_id())) is not None)
        except BaseException as error:  # noqa: BLE001  (told to the test)
            problems.append(error)

    threads = [threading.Thread(target=work, args=(reopen(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    found = [one.search for one in taken]
    assert len(found) == len(set(found))
    assert set(found) <= searches
    assert sum(one.team == house.teams["narrow"][0] for one in taken) == 3
    assert len(found) == 23


def test_events_are_written_once_and_read_after_a_number(house: House) -> None:
    search, other = house.submit(), house.submit()
    held = take(house.database)
    trials = [Event("trial", {"value": float("inf"), "url": "https://u:pass-9-word@x/"}, trial=n) for n in range(3)]
    for _ in range(2):
        beat(house.database, held, None, [*trials, Event("stage", {"name": "search"}, key="search")])
    found = told(house, search)
    assert [(one.kind, one.trial) for one in found[2:]] == [("trial", 0), ("trial", 1), ("trial", 2), ("stage", -1)]
    assert "pass-9-word" not in str(found)
    assert [one.number for one in found] == sorted(one.number for one in found)
    after = house.database.run(lambda connection: events.read(connection, search, found[2].number, 2), reads=True)
    assert after == found[3:5]
    assert [one.kind for one in told(house, other)] == ["state"]


def test_old_events_are_deleted_and_their_numbers_are_not_used_again(house: House) -> None:
    search = house.submit()
    held = take(house.database)
    beat(house.database, held, None, [Event("note", {}, key="a")])
    last = told(house, search)[-1].number
    house.database.run(lambda connection: connection.execute(update(schema.event).values(at=time.time() - 31 * 86400)))
    assert house.database.run(events.prune) == 3
    beat(house.database, held, None, [Event("note", {}, key="b")])
    assert [one.number > last for one in told(house, search)] == [True]


def test_workers_are_listed_while_they_live(house: House) -> None:
    def listed() -> list[str]:
        return house.database.run(
            lambda connection: list(connection.execute(schema.worker.select()).scalars()), reads=True
        )

    names = [new_id(), new_id()]
    for name in names:
        house.database.run(lambda connection, name=name: enter(connection, name, 2))
    house.database.run(lambda connection: seen(connection, names[0], 2))
    assert sorted(listed()) == sorted(names)
    house.database.run(lambda connection: leave(connection, names[0]))
    house.database.run(lambda connection: connection.execute(update(schema.worker).values(seen=0)))
    house.database.run(lambda connection: enter(connection, names[0], 2))
    assert listed() == [names[0]]


def test_a_process_that_stands_still_in_a_transaction_holds_no_lock_for_long(
    house: House, reopen: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    if house.database.kind == "sqlite":
        pytest.skip("an SQLite file waits for its writer, whose end frees it")
    monkeypatch.setattr(database_of_the_service, "PAUSE", 0.5)
    search = house.submit()
    held = take(house.database)
    still, gone = threading.Event(), threading.Event()

    def stand_still(connection: Connection) -> None:
        locked(connection, search)
        still.set()
        gone.wait(60)

    thread = threading.Thread(target=lambda: reopen().run(stand_still))
    thread.start()
    assert still.wait(60)
    beat(house.database, held)  # waits for the lock until the server takes it from who stands still
    gone.set()
    thread.join(60)
    assert not thread.is_alive()
