"""A worker with the processes of studies, which are pretended ones: what becomes of searches, and of processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import update

from losssearch.errors import ConnectionLostError
from services import events, schema
from services.queue import cancel
from services.settings import Settings
from services.worker import Supervisor, Timing, run
from services.worker.environment import environment_of
from tests.services.conftest import House

ROOT = Path(__file__).resolve().parents[2]
FAKE = (sys.executable, str(Path(__file__).with_name("fake_child.py")))
QUICK = Timing(lease=60, beat=0.5, write=0.1, poll=0.05, kill=1.0, stop=1.0, end=5, retries=(0.0, 0.0, 0.0))

ON_SQLITE = pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
"""A worker knows no database: two tests are enough on both."""

END = 300.0
"""Seconds within which anything happens, even on a busy machine."""


def wait_for(what: Callable[[], object], seconds: float = END) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def processes(folder: Path, search: str) -> list[int]:
    """The processes of a search that live, its study's and what that started."""
    found = [int(file.suffix[1:]) for file in folder.glob(f"{search}.*")]
    return [pid for pid in found if lives(pid)]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Works:
    """A worker in this process, and what it works on."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house, self.folder = house, folder
        (folder / "pids").mkdir()

    def submit(self, **play: object) -> str:
        return self.house.submit(request={"play": {"pids": str(self.folder / "pids")} | play})

    def state(self, search: str) -> object:
        return self.house.row(search)["state"]

    def ends(self, search: str) -> dict[str, object]:
        wait_for(lambda: self.state(search) in schema.TERMINAL)
        return self.house.row(search)

    def runs(self, search: str) -> list[int]:
        wait_for(lambda: processes(self.folder / "pids", search))
        return processes(self.folder / "pids", search)

    def cancel(self, search: str) -> None:
        self.house.database.run(lambda connection: cancel(connection, search))

    @contextmanager
    def worker(self, slots: int = 2, timing: Timing = QUICK) -> Iterator[Supervisor]:
        settings = Settings(database_url=self.house.url, data=self.folder, slots=slots)
        made = Supervisor(settings, self.house.database, command=FAKE, timing=timing)
        thread = threading.Thread(target=made.run)
        thread.start()
        try:
            yield made
        finally:
            made.stop()
            thread.join(END)
            assert not thread.is_alive()
            assert [file for file in (self.folder / "pids").iterdir() if lives(int(file.suffix[1:]))] == []


@pytest.fixture
def works(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Works:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Works(house, tmp_path)


def test_ends(works: Works) -> None:
    done = works.submit(trials=3)
    unmet = works.submit(codes=[3], problem="no candidate satisfies the constraint")
    refused = works.submit(codes=[2], problem="target must be a column")
    fault = works.submit(
        codes=[1], problem="unexpected ValueError", stderr="Traceback\nValueError: https://user:pass-9-word@host/\n"
    )
    passing = works.submit(codes=[4, 5, 0])
    lasting = works.submit(codes=[4], stderr="the store is gone\n")
    killed = works.submit(signal=int(signal.SIGKILL))
    with works.worker(slots=3):
        row = works.ends(done)
        assert (row["state"], row["exit_code"], row["summary"]) == ("done", 0, {"grade": "better"})
        assert (row["stage"], row["done"], row["total"], row["best"]) == ("search", 3, 3, 0.2)
        row = works.ends(unmet)
        assert (row["state"], row["message"]) == ("unmet", "no candidate satisfies the constraint")
        row = works.ends(refused)
        assert (row["state"], row["exit_code"], row["message"]) == ("failed", 2, "target must be a column")
        row = works.ends(fault)
        assert (row["state"], row["attempt"]) == ("failed", 1)
        assert row["message"].splitlines()[0] == "the process of the study ended with exit code 1"
        assert "ValueError: https://***@host/" in row["message"]
        row = works.ends(passing)
        assert (row["state"], row["attempt"], row["tries"], row["exit_code"]) == ("done", 3, 2, 0)
        row = works.ends(lasting)
        assert (row["state"], row["attempt"], row["exit_code"]) == ("failed", 4, 4)
        assert row["message"] == "the process of the study ended with exit code 4\nthe store is gone"
        row = works.ends(killed)
        assert (row["state"], row["attempt"], row["exit_code"]) == ("failed", 4, -9)
    told = works.house.database.run(lambda connection: events.read(connection, done), reads=True)
    assert [(one.kind, one.trial) for one in told if one.kind in ("stage", "trial")] == [
        ("stage", -1),
        ("trial", 0),
        ("trial", 1),
        ("trial", 2),
    ]


def test_a_search_that_runs_is_cancelled_and_its_slot_is_free(works: Works) -> None:
    search, other = works.submit(seconds=300, leaves=True), works.submit()
    with works.worker(slots=1):
        assert len(works.runs(search)) >= 1
        works.cancel(search)
        assert works.ends(search)["state"] == "cancelled"
        assert works.ends(other)["state"] == "done"
        assert processes(works.folder / "pids", search) == []


@ON_SQLITE
@pytest.mark.parametrize("how", ["deaf", "stopped", "says that it is done"])
def test_whatever_the_study_does_it_is_cancelled(works: Works, how: str) -> None:
    search = works.submit(seconds=300, deaf=how == "deaf", interrupted=0 if how == "says that it is done" else 130)
    with works.worker():
        (pid,) = works.runs(search)
        wait_for(lambda: works.house.row(search)["stage"])
        if how == "stopped":
            os.kill(pid, signal.SIGSTOP)
        works.cancel(search)
        assert works.ends(search)["state"] == "cancelled"
        assert not lives(pid)


@ON_SQLITE
def test_a_study_whose_end_is_slow_is_asked_twice(works: Works) -> None:
    search = works.submit(seconds=300, asked=2)
    with works.worker(timing=Timing(lease=60, beat=0.5, write=0.1, poll=0.05, urge=0.5, kill=END)):
        (pid,) = works.runs(search)
        wait_for(lambda: works.house.row(search)["stage"])
        works.cancel(search)
        row = works.ends(search)
        assert (row["state"], row["exit_code"], lives(pid)) == ("cancelled", 130, False)


@ON_SQLITE
def test_a_worker_that_stops_gives_its_searches_back(works: Works) -> None:
    polite, deaf = works.submit(seconds=300, codes=[0]), works.submit(seconds=300, deaf=True)
    with works.worker():
        works.runs(polite)
        works.runs(deaf)
        wait_for(lambda: works.house.row(polite)["stage"] and works.house.row(deaf)["stage"])
    for search in (polite, deaf):
        row = works.house.row(search)
        assert (row["state"], row["tries"], row["message"]) == ("queued", 0, "")
    workers = works.house.database.run(lambda connection: connection.execute(schema.worker.select()).all(), reads=True)
    assert workers == []


@ON_SQLITE
def test_a_lost_lease_stops_the_study_and_nothing_is_written(works: Works) -> None:
    search = works.submit(seconds=300, trials=1)
    with works.worker():
        (pid,) = works.runs(search)
        wait_for(lambda: works.house.row(search)["done"] == 1)
        taken = update(schema.search).where(schema.search.c.id == search)
        works.house.database.run(lambda connection: connection.execute(taken.values(attempt=9, holder="another")))
        before = works.house.row(search)
        wait_for(lambda: not lives(pid))
        time.sleep(0.5)
        assert works.house.row(search) == before


@ON_SQLITE
def test_a_lease_that_cannot_be_renewed_stops_the_study(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_given: object, **_named: object) -> None:
        raise ConnectionLostError("the service database must be reachable")

    search = works.submit(seconds=300)
    with works.worker(timing=Timing(lease=2.0, margin=0.5, beat=0.2, write=0.1, poll=0.05, kill=1, stop=1, end=1)):
        (pid,) = works.runs(search)
        monkeypatch.setattr(run, "beat", away)
        wait_for(lambda: not lives(pid))
        monkeypatch.undo()
        wait_for(lambda: works.house.row(search)["attempt"] > 1)


@ON_SQLITE
def test_no_more_searches_than_slots(works: Works) -> None:
    searches = [works.submit(seconds=0.3) for _ in range(6)]
    most = 0
    with works.worker(slots=2):
        while any(works.state(search) not in schema.TERMINAL for search in searches):
            most = max(most, sum(works.state(search) == "running" for search in searches))
            time.sleep(0.02)
    assert 1 <= most <= 2
    assert {works.state(search) for search in searches} == {"done"}


@ON_SQLITE
def test_a_study_that_cannot_be_started_is_tried_again_and_fails(works: Works) -> None:
    search = works.submit()
    settings = Settings(database_url=works.house.url, data=works.folder)
    made = Supervisor(settings, works.house.database, command=["/nowhere/python"], timing=QUICK)
    thread = threading.Thread(target=made.run)
    thread.start()
    row = works.ends(search)
    made.stop()
    thread.join(END)
    assert (row["state"], row["attempt"]) == ("failed", 4)
    assert "could not be started" in row["message"]


@ON_SQLITE
def test_a_study_is_given_no_secret_of_the_service(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOSSSEARCH_TOKEN_KEY", "LOSSSEARCH_DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a-secret-9-of-the-service")
    search = works.submit(seconds=300)
    with works.worker():
        (pid,) = works.runs(search)
        shown = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        listed = subprocess.run(["ps", "axww"], capture_output=True, check=True).stdout
        works.cancel(search)
        works.ends(search)
    for text in (shown, listed):
        assert b"a-secret-9" not in text
        assert works.house.url.partition("@")[0].encode() not in text


def test_what_a_study_is_given() -> None:
    settings = Settings(
        database_url="sqlite:////x",
        data=Path("/x"),
        child_cpus=3,
        tracking_username="ls",
        tracking_password="pass-9-word",
    )
    found = environment_of(settings, {"PATH": "/bin", "LOSSSEARCH_STORAGE_URL": "k", "RAY_AUTH_TOKEN": "t"})
    assert (found["PATH"], found["RAY_AUTH_TOKEN"], found["OMP_NUM_THREADS"]) == ("/bin", "t", "3")
    assert found["MLFLOW_TRACKING_PASSWORD"] == "pass-9-word"
    assert not [name for name in found if name.startswith("LOSSSEARCH_")]


def test_a_worker_needs_no_torch() -> None:
    heavy = ("torch", "numpy", "pandas", "optuna", "mlflow", "ray", "fastapi")
    asked = f"import json, sys, services.worker; print(json.dumps([name for name in {heavy} if name in sys.modules]))"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, cwd=ROOT, text=True).stdout
    assert json.loads(said) == []
