"""What a `Store` promises where several processes use it: kills, races and leases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from losssearch.errors import ConnectionLostError, StudyHeldError
from losssearch.storage import engine, lease
from losssearch.storage.records import StudyRecord, TrialRecord
from losssearch.storage.sql import SqlStore

TRIAL = TrialRecord(3, "searched", "searched-3", {}, "key")


@pytest.fixture
def store(empty_store: SqlStore) -> SqlStore:
    """A store that holds the one study ``adult``."""
    empty_store.create_study(StudyRecord("adult", {}, "0", "now"))
    return empty_store


_OPEN_AT_ONCE = """
import sys, time
from losssearch.storage.records import StudyRecord
from losssearch.storage.sql import SqlStore
print("ready", flush=True)
sys.stdin.readline()
store = SqlStore(sys.argv[1])
store.create_study(StudyRecord(sys.argv[2], {}, "0", "now"))
store.close()
"""


def _start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_several_processes_may_open_a_new_database_at_once(database_url: str) -> None:
    names = [f"study-{n}" for n in range(6)]
    processes = [_start(_OPEN_AT_ONCE, database_url, name) for name in names]
    assert [_line(process) for process in processes] == ["ready"] * len(names)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * len(names)
    reader = SqlStore(database_url, create=False)
    assert reader.studies() == names
    reader.close()


_WRITE_FOREVER = """
import sys
from losssearch.storage.records import TrialRecord
from losssearch.storage.sql import SqlStore
store = SqlStore(sys.argv[1])
store.acquire("adult")
batch = 0
while True:
    numbers = range(batch * 8, batch * 8 + 8)
    store.save_trials("adult", [TrialRecord(n, "searched", f"searched-{n}", {}, "k" * 4000) for n in numbers])
    batch += 1
    print(batch, flush=True)
"""


def test_a_killed_writer_loses_no_committed_batch(store: SqlStore, database_url: str) -> None:
    writer = _start(_WRITE_FOREVER, database_url)
    committed = 0
    while committed < 12:
        committed = int(_line(writer))
    writer.send_signal(signal.SIGKILL)
    assert writer.stdout is not None
    for line in writer.stdout.read().splitlines():
        committed = int(line)
    writer.communicate()
    numbers = [trial.number for trial in store.trials("adult")]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) % 8 == 0, "half a batch was kept"
    assert len(numbers) >= committed * 8
    store.acquire("adult")  # its lease ended with the process
    assert store.taken_over("adult")
    store.save_trials("adult", [replace(TRIAL, number=len(numbers))])


def test_writers_at_the_same_time_wait_for_each_other(
    store: SqlStore, open_store: Callable[[], SqlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without its retries: waiting in line must suffice.
    monkeypatch.setattr(engine, "ATTEMPTS", 1)
    writers = [open_store() for _ in range(4)]

    def write(worker: int) -> None:
        for batch in range(25):
            writers[worker].save_trials("adult", [replace(TRIAL, number=worker * 25 + batch)])

    with ThreadPoolExecutor(len(writers)) as pool:
        list(pool.map(write, range(len(writers))))
    assert [trial.number for trial in store.trials("adult")] == list(range(100))


def test_one_driver_at_a_time(store: SqlStore, open_store: Callable[[], SqlStore]) -> None:
    other = open_store()
    store.acquire("adult")
    store.acquire("adult")
    with pytest.raises(StudyHeldError, match=rf"process {os.getpid()} on .*study"):
        other.acquire("adult")
    store.save_trials("adult", [TRIAL])
    store.release("adult")
    other.acquire("adult")
    other.close()
    store.acquire("adult")
    assert not store.taken_over("adult")  # whoever ends by itself gives the lease back


def _alter_lease(database_url: str, assignment: str) -> None:
    database = create_engine(database_url)
    with database.begin() as connection:
        connection.execute(text(f"UPDATE losssearch_lease SET {assignment}"))
    database.dispose()


@pytest.mark.parametrize(
    ("assignment", "taken"),
    [
        (f"heartbeat = heartbeat - {lease.STALE_AFTER + 5}", True),
        ("heartbeat = heartbeat - 30", False),
        ("pid = 999999999", True),
        ("started = 'an earlier process of this pid'", True),
        ("pid = 999999999, place = 'another machine'", False),
    ],
    ids=["silent", "late", "dead", "reused-pid", "elsewhere"],
)
def test_a_stale_lease_is_taken_over(
    store: SqlStore, open_store: Callable[[], SqlStore], database_url: str, assignment: str, taken: bool
) -> None:
    other = open_store()
    store.acquire("adult")
    _alter_lease(database_url, assignment)
    if not taken:
        with pytest.raises(StudyHeldError, match="one driver at a time"):
            other.acquire("adult")
        return
    other.acquire("adult")
    with pytest.raises(ConnectionLostError, match="taken over"):
        store.save_trials("adult", [TRIAL])
    store.release("adult")
    other.save_trials("adult", [TRIAL])
    assert other.trials("adult") == [TRIAL]


def test_the_lease_is_renewed_in_the_background(
    store: SqlStore, open_store: Callable[[], SqlStore], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 0.02)
    store.acquire("adult")
    _alter_lease(database_url, "heartbeat = 0")
    database = create_engine(database_url)
    for _ in range(500):
        with database.connect() as connection:
            if connection.execute(text("SELECT heartbeat FROM losssearch_lease")).scalar_one() > 0:
                break
        time.sleep(0.02)
    else:
        pytest.fail("no heartbeat was written")
    database.dispose()
    with pytest.raises(StudyHeldError, match="one driver at a time"):
        open_store().acquire("adult")


_DRIVE_ELSEWHERE = """
import sys
from losssearch.errors import ConnectionLostError
from losssearch.storage import lease
from losssearch.storage.records import TrialRecord
from losssearch.storage.sql import SqlStore
lease._place = lambda: "another container"
store = SqlStore(sys.argv[1], job=lease.Job("job-7", 2))
store.acquire("adult")
print("driving", flush=True)
sys.stdin.readline()
try:
    store.save_trials("adult", [TrialRecord(3, "searched", "searched-3", {}, "key")])
except ConnectionLostError as error:
    print(error, flush=True)
"""


def test_the_next_attempt_of_a_job_takes_over_at_once_from_another_container(
    store: SqlStore, database_url: str
) -> None:
    older = _start(_DRIVE_ELSEWHERE, database_url)
    assert _line(older) == "driving"
    for job in (None, lease.Job("job-8", 9), lease.Job("job-7", 1)):
        other = SqlStore(database_url, job=job)
        for refused in (other.refuse_held, other.acquire):
            with pytest.raises(StudyHeldError, match="one driver at a time"):
                refused("adult")
        other.close()
    newer = SqlStore(database_url, job=lease.Job("job-7", 3))
    newer.refuse_held("adult")
    newer.acquire("adult")
    assert newer.taken_over("adult")
    said, _ = older.communicate("\n", timeout=240)
    assert "taken over by another driver" in said
    assert newer.trials("adult") == []
    newer.close()


@pytest.mark.parametrize("token", ["", "a#1", "a/b", "x" * 101, "a b"])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="1 to 100 letters"):
        lease.Job(token)
