"""Searches of which MLflow misses something: told again by whoever holds them until it has all."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from services import events, schema
from services.access.principal import Principal
from services.changing.searches import delete_search
from services.database import new_id
from services.queue import LeaseLostError, beat_sync, claim, claim_sync, finish, requeue, sync_later, synced
from services.queue.timing import FIRST_SYNC, GIVEN_UP, LAST_SYNC
from services.reading.searches import find_search
from services.settings import Settings
from services.worker import Supervisor
from tests.services.conftest import House
from tests.services.test_worker import END, FAKE, ON_SQLITE, QUICK, ROOT, wait_for


def ended(house: House, untracked: str | None = "it was away") -> str:
    """A search that has ended."""
    search = house.submit()
    held = claim(house.database, new_id())
    assert held is not None
    finish(house.database, held, "done", 0, untracked=untracked)
    return search


def change(house: House, search: str, **values: Any) -> None:
    mine = update(schema.sync).where(schema.sync.c.search_id == search).values(values)
    house.database.run(lambda connection: connection.execute(mine))


def kept(house: House) -> list[dict[str, Any]]:
    rows = house.database.run(lambda connection: connection.execute(select(schema.sync)).mappings().all(), reads=True)
    return [dict(row) for row in rows]


def shown(house: House, search: str) -> Any:
    team, user, _ = house.teams["one"]
    who = Principal(user, "one-user", team, "member", "write")
    return house.database.run(lambda connection: find_search(connection, who, search)["tracking"], reads=True)


def test_what_mlflow_misses_is_told_again_until_it_has_all(house: House) -> None:
    complete = ended(house, None)
    search = ended(house)
    assert shown(house, complete) is None
    assert claim_sync(house.database, new_id()) is None  # not at once
    told = shown(house, search)
    assert (told["complete"], told["problem"], told["tries"]) == (False, "it was away", 0)
    assert 0 < told["next"] - time.time() <= FIRST_SYNC
    change(house, search, due=time.time() - 60)
    assert claim_sync(house.database, new_id(), overdue=600) is None
    first = claim_sync(house.database, new_id())
    assert first is not None
    assert (first.search, first.number, first.team_name) == (search, 1, "one")
    assert claim_sync(house.database, new_id()) is None  # it is held
    beat_sync(house.database, first)
    revision = house.row(search)["revision"]
    sync_later(house.database, first, "away still")
    told = shown(house, search)
    assert (told["problem"], told["tries"], house.row(search)["revision"]) == ("away still", 1, revision + 1)
    assert FIRST_SYNC < told["next"] - time.time() <= 2 * FIRST_SYNC
    change(house, search, due=0.0, tries=60)
    again = claim_sync(house.database, new_id())
    assert again is not None
    sync_later(house.database, again, "away")
    assert LAST_SYNC - 60 < shown(house, search)["next"] - time.time() <= LAST_SYNC
    change(house, search, due=0.0)
    last = claim_sync(house.database, new_id())
    assert last is not None
    synced(house.database, last, "a" * 32)
    assert shown(house, search) == {"complete": True, "problem": "", "tries": 0, "next": None}
    assert (kept(house), house.row(search)["mlflow_run"]) == ([], "a" * 32)
    notes = house.database.run(lambda connection: events.read(connection, search), reads=True)
    assert [one.data["text"] for one in notes if one.kind == "note"] == ["MLflow has all of this search now"]


def test_only_who_holds_it_says_what_came_of_it(house: House) -> None:
    search = ended(house)
    change(house, search, due=0.0)
    lost = claim_sync(house.database, new_id(), lease=-1.0)
    taken = claim_sync(house.database, new_id())
    assert lost is not None
    assert taken is not None
    with pytest.raises(LeaseLostError):
        beat_sync(house.database, lost)
    synced(house.database, lost, "a" * 32)
    sync_later(house.database, lost, "no")
    (row,) = kept(house)
    assert (row["holder"], row["attempt"], row["problem"]) == (taken.holder, 2, "it was away")
    assert house.row(search)["mlflow_run"] is None
    sync_later(house.database, taken, None)  # given back as it was
    (row,) = kept(house)
    assert (row["holder"], row["tries"], row["problem"]) == (None, 0, "it was away")


def test_it_is_given_up_after_a_week(house: House) -> None:
    search = ended(house)
    change(house, search, due=0.0, since=time.time() - GIVEN_UP - 1)
    held = claim_sync(house.database, new_id())
    assert held is not None
    sync_later(house.database, held, "gone")
    assert shown(house, search) == {"complete": False, "problem": "gone", "tries": 1, "next": None}
    assert claim_sync(house.database, new_id()) is None


@pytest.mark.parametrize("what", ["continued", "deleted"])
def test_a_search_that_is_continued_or_deleted_is_no_longer_told(house: House, what: str) -> None:
    search = ended(house)
    change(house, search, due=0.0)
    held = claim_sync(house.database, new_id())
    assert held is not None
    if what == "continued":
        house.database.run(lambda connection: requeue(connection, search, request={"trials": 8}))
    else:
        team, user, _ = house.teams["one"]
        who = Principal(user, "one-user", team, "member", "write")
        house.database.run(lambda connection: delete_search(connection, who, search, tracked=False))
    assert kept(house) == []
    with pytest.raises(LeaseLostError):
        beat_sync(house.database, held)
    synced(house.database, held, "a" * 32)
    sync_later(house.database, held, "no")
    assert kept(house) == []


TELLER = """
import json, sys, time
job = json.load(sys.stdin)
with open(PLAN + ".jobs", "a") as jobs:
    jobs.write(json.dumps(job) + "\\n")
plan = json.load(open(PLAN))
step = plan.pop(0)
json.dump(plan, open(PLAN, "w"))
if "seconds" in step:
    open(PLAN + ".begun", "w").close()
    time.sleep(step["seconds"])
print(json.dumps({"event": "problem", "message": step["problem"]} if "problem" in step else
    {"event": "synced", "run": job["search"]}), flush=True)
sys.exit(step.get("code", 0))
"""


@contextmanager
def telling(house: House, folder: Path, plan: list[dict[str, object]]) -> Any:
    """A worker whose studies and whose telling of MLflow are pretended."""
    (folder / "plan").write_text(json.dumps(plan))
    command = (sys.executable, "-S", "-c", TELLER.replace("PLAN", repr(str(folder / "plan"))))
    settings = Settings(database_url=house.url, data=folder, slots=1, tracking_uri="http://127.0.0.1:1")
    made = Supervisor(settings, house.database, command=FAKE, telling=command, timing=QUICK)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield
    finally:
        made.stop()
        thread.join(END)
        assert not thread.is_alive()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("services.queue.syncing.FIRST_SYNC", 0.0)
    monkeypatch.setattr("services.worker.supervisor._TELL", 0.05)


@ON_SQLITE
@pytest.mark.usefixtures("hasty")
def test_a_worker_tells_mlflow_what_it_missed(house: House, tmp_path: Path) -> None:
    (tmp_path / "pids").mkdir()
    search = house.submit(request={"play": {"trials": 1}})
    plan = [{"problem": "it is away", "code": 4}, {"code": 0}]
    with telling(house, tmp_path, plan):
        wait_for(lambda: house.row(search)["mlflow_run"])
    assert house.row(search)["mlflow_run"] == search
    assert (house.row(search)["state"], kept(house)) == ("done", [])
    assert json.loads((tmp_path / "plan").read_text()) == []


@ON_SQLITE
@pytest.mark.usefixtures("hasty")
def test_a_search_without_a_study_has_nothing_to_tell(house: House, tmp_path: Path) -> None:
    search = ended(house)
    with telling(house, tmp_path, [{"problem": "there is no study", "code": 2}]):
        wait_for(lambda: kept(house) == [])
    assert house.row(search)["mlflow_run"] is None


@ON_SQLITE
@pytest.mark.usefixtures("hasty")
def test_a_worker_that_stops_gives_the_telling_back(house: House, tmp_path: Path) -> None:
    search = ended(house)
    with telling(house, tmp_path, [{"seconds": 300}]):
        wait_for((tmp_path / "plan.begun").exists)
    (row,) = kept(house)
    assert (row["search_id"], row["holder"], row["tries"]) == (search, None, 0)


def test_only_what_may_be_missing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from services.worker.run import Run
    from services.worker.telling import Told

    def untracked(code: int, tracking: str | None = "http://mlflow", **said: object) -> str | None:
        run = Run.__new__(Run)
        run._settings = Settings(database_url="sqlite:////x", data=tmp_path, tracking_uri=tracking)
        told = Told()
        if said:
            told.line(json.dumps({"event": "tracked", **said}).encode())
        return run._untracked(code, told)

    assert untracked(0, complete=True, problem="") is None
    assert untracked(0, complete=False, problem="503") == "503"
    assert untracked(130) == "the search ended before MLflow was told all of it"
    assert untracked(2) is None
    assert untracked(0, None, complete=False, problem="") is None
