"""Workers that are killed, and a database that restarts: each search ends once, and none is stuck."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from losssearch.storage.engine import Database
from services import schema
from services.database import open_database
from services.migrations import upgrade
from tests.services.conftest import House
from tests.services.test_worker import ON_SQLITE, lives, processes, wait_for

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("fake_worker.py")


class Workers:
    """Workers in processes of their own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.pids = folder / "pids"
        self.pids.mkdir()
        self.living: list[subprocess.Popen[bytes]] = []

    def start(self, slots: int = 1, lease: float = 10.0) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(WORKER), self.url, str(self.folder), str(slots), str(lease)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.living.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        return self.living[-1]

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        worker.kill()
        worker.wait()
        self.living.remove(worker)

    def end(self) -> None:
        for worker in self.living:
            worker.terminate()
        for worker in self.living:
            worker.wait(60)


@pytest.fixture
def workers(house: House, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(house.url, tmp_path)
    yield made
    made.end()


@ON_SQLITE
def test_a_worker_that_is_killed_takes_its_study_along_and_another_takes_over(house: House, workers: Workers) -> None:
    search = house.submit(request={"play": {"pids": str(workers.pids), "seconds": 300, "trials": 2}})
    first = workers.start(lease=4.0)
    wait_for(lambda: house.row(search)["done"] == 2)
    (pid,) = processes(workers.pids, search)
    second = workers.start(lease=4.0)
    workers.kill(first)
    began = time.monotonic()
    wait_for(lambda: not lives(pid))
    wait_for(lambda: house.row(search)["attempt"] == 2)
    # The lease, a look for work, and what a busy machine adds.
    assert time.monotonic() - began < 4.0 + 10
    wait_for(lambda: processes(workers.pids, search))
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
    assert house.row(search)["state"] == "queued"
    assert processes(workers.pids, search) == []


@ON_SQLITE
def test_a_worker_that_stood_still_writes_nothing_over_its_successor(house: House, workers: Workers) -> None:
    search = house.submit(request={"play": {"pids": str(workers.pids), "seconds": 300}})
    first = workers.start(lease=2.0)
    (pid,) = runs(workers, search)
    first.send_signal(signal.SIGSTOP)
    workers.start(lease=2.0)
    wait_for(lambda: house.row(search)["attempt"] == 2)
    first.send_signal(signal.SIGCONT)
    wait_for(lambda: not lives(pid))
    row = house.row(search)
    assert (row["state"], row["attempt"]) == ("running", 2)


def runs(workers: Workers, search: str) -> list[int]:
    wait_for(lambda: processes(workers.pids, search))
    return processes(workers.pids, search)


def storm(house: House, workers: Workers, *, jobs: int, kills: int, restart: Callable[[], None] | None = None) -> float:
    """Let four workers do ``jobs`` searches while workers are killed, and twice the database; the seconds it took."""
    chance = random.Random(0)
    searches = [house.submit(request={"play": {"trials": 1}}) for _ in range(jobs)]
    began = time.monotonic()
    for _ in range(4):
        workers.start(slots=4)

    def ended() -> int:
        counted = select(func.count()).select_from(schema.search).where(schema.search.c.state.in_(schema.TERMINAL))
        return house.database.run(lambda connection: connection.execute(counted).scalar_one(), reads=True)

    restarts = (kills // 3, 2 * kills // 3) if restart else ()
    for number in range(kills):
        # Spread over the whole: each after its share of the searches.
        wait_for(lambda number=number: ended() >= jobs * (number + 1) // (kills + 2))
        workers.kill(chance.choice(workers.living))
        workers.start(slots=4)
        if restart and number in restarts:
            restart()
    until = time.monotonic() + 600
    while ended() < jobs:
        assert time.monotonic() < until, f"{jobs - ended()} searches are stuck"
        time.sleep(0.2)
    took = time.monotonic() - began
    assert Counter(house.row(search)["state"] for search in searches) == {"done": jobs}
    ends = select(schema.event.c.search_id).where(schema.event.c.kind == "state")
    rows = house.database.run(
        lambda connection: connection.execute(ends.add_columns(schema.event.c.data)).all(), reads=True
    )
    done = Counter(row.search_id for row in rows if row.data["state"] in schema.TERMINAL)
    assert done == dict.fromkeys(searches, 1)
    return took


def test_each_search_ends_once_though_workers_are_killed(house: House, workers: Workers) -> None:
    storm(house, workers, jobs=24, kills=2)


@pytest.mark.nightly
@pytest.mark.timeout(1500)
def test_a_thousand_searches_end_once(house: House, workers: Workers) -> None:
    """On SQLite; on PostgreSQL without a restart, for which see the next one."""
    took = storm(house, workers, jobs=1000, kills=20)
    print(f"1,000 searches in {took:.0f} s")  # noqa: T201


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts and stops a PostgreSQL server of our own."""
    if "LOSSSEARCH_TEST_POSTGRES" not in os.environ:
        pytest.skip("LOSSSEARCH_TEST_POSTGRES names no server, so PostgreSQL is not tested")
    folder = Path(tempfile.mkdtemp(prefix="losssearch-"))

    def ask(command: str) -> str:
        environment = {**os.environ, "LOSSSEARCH_POSTGRES_DIR": str(folder)}
        script = str(ROOT / ".ci" / "postgres")
        told = subprocess.run([script, command], env=environment, capture_output=True, text=True, check=True)
        return told.stdout.strip().partition("=")[2]

    yield ask
    ask("stop")
    shutil.rmtree(folder)


@pytest.mark.nightly
@pytest.mark.timeout(1500)
def test_a_thousand_searches_end_once_though_the_database_restarts(
    own_server: Callable[[str], str], tmp_path: Path
) -> None:
    url = own_server("start")
    database: Database = open_database(url, create=True)
    upgrade(database)
    house = House(url, database, {})
    house.team("one")
    workers = Workers(url, tmp_path)

    def restart() -> None:
        own_server("stop")
        time.sleep(1.0)
        own_server("start")

    try:
        took = storm(house, workers, jobs=1000, kills=20, restart=restart)
        print(f"1,000 searches, two restarts of the database, in {took:.0f} s")  # noqa: T201
    finally:
        workers.end()
        database.close()
