"""Runs of deleted searches are deleted in MLflow by a worker, which tries again where that fails."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from services import schema
from services.queue import discard, has_discarded, take_discarded
from services.queue.discarding import GIVEN_UP
from services.settings import Settings
from services.worker import Supervisor, discarding
from tests.services.conftest import House
from tests.services.test_worker import END, ON_SQLITE, QUICK, wait_for

FAKE = """
import json, pathlib, sys
job = json.load(sys.stdin)
file = pathlib.Path({place!r})
tried = file.read_text().splitlines() if file.exists() else []
file.write_text("\\n".join([*tried, job["experiment"] + " " + job["study"] + " " + job["tracking_uri"]]))
sys.exit("MLflow is away" if len(tried) < {failing} else 0)
"""


def left(house: House) -> int:
    return len(house.database.run(lambda c: c.execute(select(schema.discarded)).all(), reads=True))


@ON_SQLITE
def test_a_worker_deletes_the_runs_and_tries_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "asked"
    monkeypatch.setattr(discarding, "COMMAND", (sys.executable, "-c", FAKE.format(place=str(place), failing=1)))
    monkeypatch.setattr("services.queue.discarding.FIRST_WAIT", 0.0)
    monkeypatch.setattr("services.worker.supervisor._DISCARD", 0.0)
    house.database.run(lambda c: discard(c, "a" * 32, "losssearch/one"))
    settings = Settings(database_url=house.url, data=tmp_path)
    for tracking in (None, "http://mlflow:5000"):
        worker = Supervisor(replace(settings, tracking_uri=tracking), house.database, timing=QUICK)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            if tracking is None:
                wait_for(lambda: house.database.run(lambda c: c.execute(select(schema.worker)).first(), reads=True))
                assert left(house) == 1  # a worker without MLflow leaves them to others
            else:
                wait_for(lambda: left(house) == 0)
        finally:
            worker.stop()
            thread.join(END)
    assert place.read_text().splitlines() == [f"losssearch/one {'a' * 32} http://mlflow:5000"] * 2
    assert "are still there: MLflow is away" in caplog.text


def test_what_one_worker_has_taken_no_other_takes_for_a_while(house: House) -> None:
    for name in "ab":
        house.database.run(lambda c, name=name: discard(c, name * 32, "losssearch/one"))
    taken = [house.database.run(take_discarded) for _ in range(3)]
    assert sorted(one.search[0] if one else "" for one in taken) == ["", "a", "b"]
    assert not house.database.run(has_discarded, reads=True)
    old = update(schema.discarded).values(not_before=0.0, created=schema.discarded.c.created - GIVEN_UP - 60)
    house.database.run(lambda c: c.execute(old))
    assert house.database.run(take_discarded) is None
    assert left(house) == 0
