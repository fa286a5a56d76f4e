"""What a search may take of its team's seconds and bytes, kept by its worker."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from services import schema
from services.queue import claim
from services.worker.bounds import most_seconds, size_of
from services.worker.outcome import OVERDUE
from tests.services.conftest import House
from tests.services.test_worker import ON_SQLITE, Works, wait_for, works

__all__ = ["works"]

DAY = 86_400.0


def allow(house: House, seconds: float) -> None:
    house.database.run(lambda c: c.execute(update(schema.team).values(max_seconds=seconds)))


@ON_SQLITE
def test_a_search_that_uses_up_the_seconds_of_its_team_is_ended(works: Works) -> None:
    allow(works.house, 1.0)
    search, quick = works.submit(seconds=300), works.submit()
    with works.worker():
        row = works.ends(search)
        assert (row["state"], row["message"]) == ("failed", OVERDUE)
        assert works.ends(quick)["state"] in ("done", "failed")  # a second is short for a process


@ON_SQLITE
@pytest.mark.parametrize("seconds", [DAY, DAY - 1, DAY + 1])
def test_a_quota_of_exactly_a_day_is_one(house: House, seconds: float) -> None:
    allow(house, seconds)
    house.submit()
    found = claim(house.database, "a" * 32)
    assert found is not None
    assert most_seconds(found) == pytest.approx(seconds)


def test_the_seconds_before_a_restart_count_and_a_time_budget_has_slack(house: House) -> None:
    allow(house, 100.0)
    search = house.submit(request={"trials": 4, "time_budget": 50})
    first = claim(house.database, "a" * 32)
    assert first is not None
    assert most_seconds(first) > 600
    lost = {"started": schema.search.c.started - 60.0, "lease_until": 1.0}
    house.database.run(lambda c: c.execute(update(schema.search).values(lost)))
    again = claim(house.database, "b" * 32)
    assert again is not None
    assert (again.search, 30 < again.seconds < 41) == (search, True)


@ON_SQLITE
def test_the_bytes_of_a_search_are_noted_at_its_end(works: Works) -> None:
    search = works.submit()
    folder = works.folder / "searches" / search
    (folder / "export").mkdir(parents=True)
    (folder / "export" / "loss.py").write_bytes(b"x" * 700)
    (folder / "result.json").write_bytes(b"x" * 300)
    (folder / "link").symlink_to("/proc/kcore")
    with works.worker():
        assert works.ends(search)["bytes"] == 1000 + len("/proc/kcore")


@ON_SQLITE
def test_the_bytes_of_a_search_count_while_it_runs(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.worker.run._SIZED", 0.0)
    search = works.submit(seconds=300)
    folder = works.folder / "searches" / search
    folder.mkdir(parents=True)
    (folder / "table").write_bytes(b"x" * 5000)
    with works.worker():
        wait_for(lambda: works.house.row(search)["bytes"])
        assert (works.house.row(search)["state"], works.house.row(search)["bytes"]) == ("running", 5000)


def test_a_folder_that_is_not_there_has_no_bytes(tmp_path: Path) -> None:
    assert size_of(tmp_path / "none") == 0
