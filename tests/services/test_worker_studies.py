"""Real studies under a worker: what is killed is continued with an equal result, and what is cancelled ends soon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_wine

import losssearch as ls
from losssearch.storage.sql import SqlStore
from services import schema
from services.queue import cancel
from services.settings import Settings
from services.worker import Supervisor, Timing
from tests.services.conftest import House
from tests.services.test_worker import END, lives, wait_for

ROOT = Path(__file__).resolve().parents[2]
REQUEST = {"target": "target", "trials": 6, "epochs": 3, "confirm_seeds": 2}

pytestmark = [pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True), pytest.mark.timeout(900)]


@dataclass
class Studies:
    """A service whose one dataset is a real table."""

    house: House
    folder: Path
    table: Path

    def submit(self, **more: object) -> str:
        return self.house.submit(request=REQUEST | more)

    def ends(self, search: str) -> dict[str, Any]:
        wait_for(lambda: self.house.row(search)["state"] in schema.TERMINAL)
        return self.house.row(search)

    def cancel(self, search: str) -> float:
        """Cancel a search, and return the seconds until it has ended."""
        began = time.monotonic()
        self.house.database.run(lambda connection: cancel(connection, search))
        self.ends(search)
        return time.monotonic() - began

    def result(self, search: str) -> dict[str, Any]:
        return compared(json.loads((self.folder / "searches" / search / "result.json").read_text(encoding="utf-8")))

    def trials(self, search: str) -> list[tuple[int, float | None]]:
        store = SqlStore(f"sqlite:///{self.folder}/studies.db", create=False)
        try:
            return [(trial.number, trial.value) for trial in store.trials(search)]
        finally:
            store.close()

    def undisturbed(self) -> tuple[dict[str, Any], list[tuple[int, float | None]]]:
        """The result of the same request without a service, and its trials."""
        out = self.folder / "undisturbed"
        content = ls.search(str(self.table), **REQUEST, workers=0, mlflow=False, verbose=0, out=str(out)).to_json()
        store = SqlStore(f"sqlite:///{out}/study.db", create=False)
        try:
            return compared(content), [(trial.number, trial.value) for trial in store.trials(content["study"])]
        finally:
            store.close()

    @contextmanager
    def worker(self, slots: int = 1) -> Iterator[None]:
        settings = Settings(database_url=self.house.url, data=self.folder, slots=slots)
        made = Supervisor(settings, self.house.database, timing=Timing(retries=(0.0, 0.0, 0.0)))
        thread = threading.Thread(target=made.run)
        thread.start()
        try:
            yield
        finally:
            made.stop()
            thread.join(END)
            assert not thread.is_alive()
            assert children(os.getpid()) == []


def compared(result: dict[str, Any]) -> dict[str, Any]:
    """What must be equal in two results of the same request."""
    return {name: result[name] for name in ("best", "baselines", "verdict", "ablation", "trials", "metric")}


def children(parent: int) -> list[int]:
    """The processes of studies that ``parent`` has started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            state, above = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(above) == parent and state not in "ZX" and b"services.child" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


@pytest.fixture
def studies(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studies:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = tmp_path / "data"
    table = folder / "datasets" / f"{house.teams['one'][2]}.parquet"
    table.parent.mkdir(parents=True)
    (folder / "searches").mkdir()
    load_wine(as_frame=True).frame.to_parquet(table)
    return Studies(house, folder, table)


def test_a_study_whose_process_is_killed_comes_to_the_same_result(studies: Studies) -> None:
    search = studies.submit()
    with studies.worker():
        wait_for(lambda: studies.house.row(search)["done"] > 0)
        (pid,) = children(os.getpid())
        os.kill(pid, signal.SIGKILL)
        row = studies.ends(search)
    assert (row["state"], row["exit_code"], row["attempt"], row["tries"]) == ("done", 0, 2, 1)
    expected, trials = studies.undisturbed()
    assert studies.result(search) == expected
    assert studies.trials(search) == trials
    assert row["summary"]["text"] == expected["verdict"]["text"]
    assert row["summary"]["recommended"] == expected["verdict"]["recommended"]


@pytest.mark.nightly
def test_a_study_whose_worker_is_killed_is_taken_over_within_45_s(studies: Studies) -> None:
    search = studies.submit()
    environment = {
        **os.environ,
        "LOSSSEARCH_DATABASE_URL": studies.house.url,
        "LOSSSEARCH_DATA_DIR": str(studies.folder),
    }
    command = [sys.executable, "-m", "losssearch", "serve", "worker"]
    workers = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    try:
        wait_for(lambda: studies.house.row(search)["done"] > 0)
        (holder,) = [worker for worker in workers if children(worker.pid)]
        (pid,) = children(holder.pid)
        holder.kill()
        began = time.monotonic()
        wait_for(lambda: not lives(pid))
        alone = time.monotonic() - began
        wait_for(lambda: studies.house.row(search)["attempt"] == 2)
        took = time.monotonic() - began
        print(f"the study ended {alone:.2f} s after its worker, taken over after {took:.1f} s")  # noqa: T201
        assert took <= 45
        assert studies.ends(search)["state"] == "done"
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait(END)
    expected, trials = studies.undisturbed()
    assert studies.result(search) == expected
    assert studies.trials(search) == trials


@pytest.mark.nightly
@pytest.mark.parametrize("when", ["search", "selection", "stopped"])
def test_a_study_is_cancelled_soon(studies: Studies, when: str) -> None:
    search = studies.submit(trials=200, confirm_seeds=20) if when != "selection" else studies.submit(confirm_seeds=50)
    other = studies.submit()
    with studies.worker():
        wait_for(lambda: studies.house.row(search)["stage"].startswith("re" if when == "selection" else "search"))
        wait_for(lambda: when == "selection" or studies.house.row(search)["done"] > 0)
        (pid,) = children(os.getpid())
        if when == "stopped":
            os.kill(pid, signal.SIGSTOP)
        took = studies.cancel(search)
        print(f"cancelled after {took:.1f} s: {when}")  # noqa: T201
        assert studies.house.row(search)["state"] == "cancelled"
        assert not lives(pid)
        assert took <= 25  # under ten seconds where the machine has nothing else to do, and the study hears
        wait_for(lambda: studies.house.row(other)["state"] == "running")
        studies.cancel(other)


@pytest.mark.nightly
def test_more_trials_continue_a_search(studies: Studies) -> None:
    from services.queue import requeue

    search = studies.submit()
    with studies.worker():
        studies.ends(search)
        before = studies.trials(search)
        studies.house.database.run(lambda connection: requeue(connection, search, request=REQUEST | {"trials": 9}))
        assert studies.ends(search)["state"] == "done"
    assert studies.trials(search)[:6] == before
    assert len(studies.trials(search)) == 9
