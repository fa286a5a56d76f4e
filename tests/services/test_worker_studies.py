"""Real studies under a worker: what is killed is continued with an equal result, and what is cancelled ends soon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from losssearch.storage.schema import VERSION
from losssearch.storage.versions import migrate_store
from tests.services.conftest import House
from tests.services.studies import REQUEST, Studies, children, trials_of
from tests.services.test_worker import END, ON_SQLITE, lives, wait_for
from tests.storage.old_stores import make_version_1

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def studies(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studies:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Studies.made(house, tmp_path / "data")


@ON_SQLITE
def test_a_study_whose_process_is_killed_comes_to_the_same_result(studies: Studies) -> None:
    search = studies.submit()
    with studies.worker():
        wait_for(lambda: studies.house.row(search)["done"] > 0)
        (pid,) = children()
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
        (pid,) = children()
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
@ON_SQLITE
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


@pytest.mark.nightly
@ON_SQLITE
def test_a_search_of_an_older_program_is_continued(studies: Studies, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its store is of version 1, its folder holds nothing; it comes to what Python makes of the same store."""
    from losssearch.data.builtin import load_builtin

    load_builtin("wine").to_parquet(studies.table)
    more = {"trials": 6, "epochs": 1, "draws": 1}
    for store in (studies.of_service.storage, f"sqlite:///{studies.folder}/undisturbed/study.db"):
        Path(store.removeprefix("sqlite:///")).parent.mkdir(exist_ok=True)
        make_version_1(store)
    before = trials_of(studies.of_service.storage, "wine")
    monkeypatch.setattr("services.queue.asking.new_id", lambda: "wine")  # as the stored study is called
    search = studies.submit(**more)
    with studies.worker():
        row = studies.ends(search)
    assert (row["state"], row["attempt"], row["message"]) == ("done", 1, "")
    assert migrate_store(studies.of_service.storage, None)[1] == VERSION
    expected, trials = studies.undisturbed(**more, resume="auto", study="wine")
    assert (studies.result(search), studies.trials(search)) == (expected, trials)
    assert (len(before), trials[:4], len(trials)) == (4, before, 6)
    assert (studies.folder / "searches" / search / "export" / "loss.py").is_file()
