"""Searches that end while nobody runs them: a worker closes what their studies left open in MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from services import schema
from services.database import new_id
from services.queue import Claim, cancel, claim, claim_sync, give_back, retry_later
from services.queue.timing import MOST_LOST
from tests.services.conftest import House
from tests.services.test_syncing import hasty, kept, telling
from tests.services.test_worker import ON_SQLITE, wait_for

__all__ = ["hasty"]

WHY = "the search ended while no worker ran it"


def begun(house: House) -> tuple[str, Claim]:
    """A search that a worker holds."""
    search = house.submit()
    held = claim(house.database, new_id())
    assert held is not None
    return search, held


def change(house: House, search: str, **values: Any) -> None:
    mine = update(schema.search).where(schema.search.c.id == search).values(values)
    house.database.run(lambda connection: connection.execute(mine))


def ask(house: House, search: str, *, tracked: bool) -> None:
    house.database.run(lambda connection: cancel(connection, search, tracked=tracked))


def ends(house: House, how: str, *, tracked: bool) -> tuple[str, str]:
    """A search that has ended, and its state; ``how`` says who was there."""
    search, held = begun(house)
    if how == "cancelled while it waits for another worker":
        give_back(house.database, held)
        ask(house, search, tracked=tracked)
    elif how == "cancelled after its worker was lost":
        change(house, search, lease_until=1.0)
        ask(house, search, tracked=tracked)
    elif how == "cancelled before its worker was lost":
        ask(house, search, tracked=tracked)
        change(house, search, lease_until=1.0)
        assert claim(house.database, new_id(), tracked=tracked) is None
    else:
        assert how == "failed since it kills its workers"
        change(house, search, lease_until=1.0, lost=MOST_LOST)
        assert claim(house.database, new_id(), tracked=tracked) is None
    return search, str(house.row(search)["state"])


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ("cancelled while it waits for another worker", "cancelled"),
        ("cancelled after its worker was lost", "cancelled"),
        ("cancelled before its worker was lost", "cancelled"),
        ("failed since it kills its workers", "failed"),
    ],
)
def test_what_ends_without_a_worker_is_told_by_one(house: House, how: str, state: str) -> None:
    search, found = ends(house, how, tracked=True)
    assert found == state
    (row,) = kept(house)
    assert (row["search_id"], row["problem"]) == (search, WHY)
    due = update(schema.sync).values(due=0.0)
    house.database.run(lambda connection: connection.execute(due))
    told = claim_sync(house.database, new_id())
    assert told is not None
    assert (told.search, told.failed) == (search, state == "failed")
    ends(house, how, tracked=False)
    assert [one["search_id"] for one in kept(house)] == [search]


def test_a_search_that_nobody_began_left_nothing_open(house: House) -> None:
    search = house.submit()
    ask(house, search, tracked=True)
    assert (house.row(search)["state"], kept(house)) == ("cancelled", [])


@pytest.mark.parametrize("how", [give_back, lambda database, held, **more: retry_later(database, held, "", **more)])
def test_a_worker_that_ends_a_cancelled_search_says_what_is_missing(house: House, how: Any) -> None:
    search, held = begun(house)
    ask(house, search, tracked=True)
    assert how(house.database, held, untracked="its end") == "cancelled"
    (row,) = kept(house)
    assert (row["search_id"], row["problem"]) == (search, "its end")
    _, held = begun(house)
    assert how(house.database, held, untracked="its end") == "queued"
    assert [one["search_id"] for one in kept(house)] == [search]


@ON_SQLITE
@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("how", ["cancelled after its worker was lost", "failed since it kills its workers"])
def test_the_worker_hands_on_how_it_ended(house: House, tmp_path: Path, how: str) -> None:
    search, state = ends(house, how, tracked=True)
    with telling(house, tmp_path, [{"code": 0}]):
        wait_for(lambda: house.row(search)["mlflow_run"])
    (job,) = [json.loads(line) for line in (tmp_path / "plan.jobs").read_text().splitlines()]
    assert (job["search"], job["failed"]) == (search, state == "failed")
