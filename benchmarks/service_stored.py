"""A service to be measured: its database, users with tokens, searches with stored trials, and the API as a process."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

import httpx

from losssearch.storage.engine import Database
from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.sql import SqlStore
from services import events, queue, schema
from services.access import people, tokens
from services.access.principal import Principal
from services.settings import Settings

TRIALS, STORED, USERS = 5000, 4, 10
PASSWORD = "correct horse battery"
PROGRAM = (sys.executable, "-m", "losssearch", "serve")

_TICK = 1 / os.sysconf("SC_CLK_TCK")


@contextmanager
def new_database(folder: Path) -> Iterator[tuple[str, str]]:
    """The URL of an empty database and its kind: on the server of ``LOSSSEARCH_TEST_POSTGRES``, else a file."""
    server = os.environ.get("LOSSSEARCH_TEST_POSTGRES")
    if server is None:
        yield f"sqlite:///{folder / 'service.db'}", "sqlite"
        return
    import psycopg

    name = f"load_{os.getpid()}"
    plain = server.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{plain.rpartition('/')[0]}/{name}", "postgresql"
    finally:
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def environment_of(folder: Path, url: str) -> dict[str, str]:
    """What the processes of the service are given."""
    given = {"LOSSSEARCH_DATABASE_URL": url, "LOSSSEARCH_DATA_DIR": str(folder / "data"), "OMP_NUM_THREADS": "1"}
    return dict(os.environ) | given


def make_people(connection: Any) -> tuple[str, list[tuple[str, str]]]:
    """A team, and of each of its users the id and a token."""
    team = people.create_team(connection, "load")
    connection.execute(schema.team.update().values(max_running=2, max_queued=100))
    made = []
    for number in range(USERS):
        user = people.create_user(connection, f"user{number}", team, role="member", password=PASSWORD)
        who = Principal(user, f"user{number}", team, "member", "write")
        made.append((user, tokens.issue(connection, who, "load", "write").secret))
    return team, made


def fill(database: Database, settings: Settings, team: str, owner: str, dataset: str) -> list[str]:
    """Searches of 5,000 stored trials and events each, that look as if they ran elsewhere."""
    store, made = SqlStore(settings.storage, create=True), []
    try:
        for number in range(STORED):
            request = {"target": "y", "metric": "average_precision", "trials": TRIALS}

            def work(connection: Any, number: int = number, request: dict[str, Any] = request) -> str:
                search = queue.submit(
                    connection, team=team, owner=owner, dataset=dataset, name=f"stored {number}", request=request
                )
                # A holder whose lease lasts: no worker takes it.
                later = time.time() + 1e6
                values = {"state": schema.RUNNING, "holder": "0" * 32, "attempt": 1, "lease_until": later}
                connection.execute(schema.search.update().where(schema.search.c.id == search).values(values))
                return search

            search = database.run(work)
            made.append(search)
            config = {"metric": "average_precision", "task": "binary", "trials": TRIALS}
            store.create_study(StudyRecord(search, config, "0", "2026-01-01T00:00:00"))
            store.save_trials(search, [_trial(index) for index in range(TRIALS)])
            told = [events.Event("trial", {"number": index, "value": 0.5}, index) for index in range(TRIALS)]

            def write(connection: Any, search: str = search, told: list[events.Event] = told) -> int:
                return events.write(connection, search, told)

            database.run(write)
        connection_limit = schema.team.update().values(max_running=2 + STORED)
        database.run(lambda connection: connection.execute(connection_limit))
    finally:
        store.close()
    return made


def _trial(number: int) -> TrialRecord:
    value = random.Random(number).random()
    spec = {"parts": [{"term": "focal", "gamma": round(5 * value, 6)}]}
    return TrialRecord(
        number,
        "searched",
        f"searched-{number}",
        spec,
        f"{number:064x}",
        TrialState.COMPLETED,
        params={"focal.gamma": 5 * value},
        value=value,
        values=(value,) * 3,
        epochs=20,
        best_epochs=(10, 11, 12),
    )


class Api:
    """``losssearch serve api`` as processes of its own, from this checkout or another; stopped where it is left.

    Args:
        environment: of the process.
        log: where it writes.
        checkout: the root of the checkout that is run; this one if left out.

    Raises:
        RuntimeError: it does not answer.
    """

    def __init__(self, environment: Mapping[str, str], log: IO[bytes], checkout: Path | None = None) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        given = dict(environment) | ({} if checkout is None else {"PYTHONPATH": str(checkout)})
        command = [*PROGRAM, "api", "--port", str(port)]
        self._process = subprocess.Popen(command, env=given, cwd=checkout, stdout=log, stderr=log)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, and wait for its end."""
        self._process.terminate()
        self._process.wait(60)

    def processor_seconds(self) -> float:
        """What it has used of the processor so far, with the processes that it has started."""
        return sum(_processor_seconds(pid) for pid in self._processes())

    def megabytes(self) -> float:
        """The resident memory of its processes but that of the catalogue, pages that several have once for each."""
        return sum(_resident(pid) for pid in self._processes() if b"services.catalogue" not in _command(pid))

    def _processes(self) -> list[int]:
        found, waiting = [], [self._process.pid]
        while waiting:
            found.append(waiting.pop())
            with suppress(OSError):
                tasks = list(Path(f"/proc/{found[-1]}/task").iterdir())
                waiting += [int(one) for task in tasks for one in (task / "children").read_text("ascii").split()]
        return found

    def _wait(self) -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.address}/health").status_code == 200:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"{self.address} did not answer")


def _processor_seconds(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK
    return 0.0


def _resident(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
