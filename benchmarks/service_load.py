"""What clients of the service wait for: 150 that read and 50 that watch searches of 5,000 trials while two run.

    python -m benchmarks.service_load [--quick] [--json FILE]

The API and a worker run as processes of their own, on PostgreSQL where ``LOSSSEARCH_TEST_POSTGRES`` names a server that
may hold a new database, else on SQLite. Each reader asks for one thing per second: a list, a search, a page of trials
or the best of them. The lag of an event is the time from its row to the client. ``docs/performance-benchmarks.md``
tells more.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import func, select

from benchmarks.report import Result, print_table, run_command
from losssearch.storage.engine import Database
from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.sql import SqlStore
from services import events, queue, schema
from services.access import people, tokens
from services.access.principal import Principal
from services.database import open_database
from services.migrations import upgrade
from services.settings import Settings

GOALS = {"read_p95_s": 0.1, "event_lag_p95_s": 2.0, "api_megabytes": 300.0}
READERS, WATCHERS, TRIALS, STORED, USERS = 150, 50, 5000, 4, 10
PROGRAM = (sys.executable, "-m", "losssearch", "serve")


def measure(quick: bool) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Seconds of reads, lag of events, memory of the API; and those over the goals."""
    with tempfile.TemporaryDirectory() as folder, _database(Path(folder)) as (url, kind):
        figures = _measured(Path(folder), url, seconds=10.0 if quick else 90.0) | {"database": kind}
    ratios = {name: figures[name] / goal for name, goal in GOALS.items()}
    return figures | {"goals": GOALS}, {"to_goal": ratios}


@contextmanager
def _database(folder: Path) -> Iterator[tuple[str, str]]:
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


def _measured(folder: Path, url: str, *, seconds: float) -> dict[str, Any]:
    environment = os.environ | {
        "LOSSSEARCH_DATABASE_URL": url,
        "LOSSSEARCH_DATA_DIR": str(folder / "data"),
        "OMP_NUM_THREADS": "1",
    }
    settings = Settings.from_environment(environment)
    database = open_database(settings.database_url, create=True)
    upgrade(database)
    team, keys = database.run(_people)
    port = _free_port()
    log = (folder / "log").open("wb")
    api = subprocess.Popen([*PROGRAM, "api", "--port", str(port)], env=environment, stdout=log, stderr=log)
    worker = None
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/health", api)
        dataset, running = _begin(address, keys[0][1])
        stored = _fill(database, settings, team, keys[0][0], dataset)
        worker = subprocess.Popen([*PROGRAM, "worker", "--slots", "2"], env=environment, stdout=log, stderr=log)
        _wait_until_running(database, running, worker)
        found = asyncio.run(_load(address, [key for _, key in keys], stored + running, database, stored, seconds))
        states = _states(database, running)
        found["api_megabytes"] = _resident(api.pid)
        found["searches_running_at_the_end"] = sum(state in schema.ACTIVE for state in states)
        return found
    finally:
        for process in (worker, api):
            if process is not None:
                process.terminate()
                process.wait(60)
        database.close()
        log.close()


def _people(connection: Any) -> tuple[str, list[tuple[str, str]]]:
    """A team, and of each of its users the id and a token."""
    team = people.create_team(connection, "load")
    connection.execute(schema.team.update().values(max_running=2, max_queued=100))
    made = []
    for number in range(USERS):
        user = people.create_user(connection, f"user{number}", team, role="member", password="correct horse battery")
        who = Principal(user, f"user{number}", team, "member", "write")
        made.append((user, tokens.issue(connection, who, "load", "write").secret))
    return team, made


def _begin(address: str, key: str) -> tuple[str, list[str]]:
    """Upload a table and submit two searches that run for longer than the measurement."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(4000, 8))
    target = (features[:, 0] + generator.normal(size=4000) > 0).astype(int)
    rows = [",".join([*(f"x{i}" for i in range(8)), "y"])]
    rows += [
        ",".join([*(f"{value:.4f}" for value in row), str(label)]) for row, label in zip(features, target, strict=True)
    ]
    content = ("\n".join(rows) + "\n").encode()
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=120) as client:
        dataset = client.post("/v1/datasets", json={"name": "table"}).raise_for_status().json()["id"]
        sent = {"Content-Digest": f"sha-256=:{digest}:"}
        client.put(f"/v1/datasets/{dataset}/content?format=csv", content=content, headers=sent).raise_for_status()
        asked = {"target": "y", "metric": "average_precision", "trials": 2000, "time_budget": 1800}
        made = [
            client.post(
                "/v1/searches", json={"dataset": dataset, "name": f"running {n}", "request": asked | {"seed": n}}
            )
            for n in range(2)
        ]
        return dataset, [answer.raise_for_status().json()["id"] for answer in made]


def _fill(database: Database, settings: Settings, team: str, owner: str, dataset: str) -> list[str]:
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
            database.run(lambda connection, search=search, told=told: events.write(connection, search, told))
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


async def _load(
    address: str, keys: Sequence[str], searches: list[str], database: Database, stored: list[str], seconds: float
) -> dict[str, Any]:
    reads: list[float] = []
    lags: list[float] = []
    errors: list[str] = []
    newest = select(func.max(schema.event.c.id))
    after = database.run(lambda connection: connection.execute(newest).scalar_one(), reads=True)
    end = time.monotonic() + seconds
    async with AsyncExitStack() as stack:
        # A client each, as they would be programs of their own: a pool of 200 connections looks at all of them for each
        # request, which takes longer than the service's answer.
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=address, timeout=60, verify=False))
            for _ in range(READERS + WATCHERS)
        ]
        tasks = [_read(clients[n], keys[n % USERS], searches, end, reads, errors, n) for n in range(READERS)]
        tasks += [
            _watch(clients[READERS + n], keys[n % USERS], stored[n % STORED], after, end, lags, errors)
            for n in range(WATCHERS)
        ]
        tasks.append(_happen(database, stored, end))
        await asyncio.gather(*tasks)
    return {
        "seconds": seconds,
        "reads": len(reads),
        "read_p50_s": float(np.quantile(reads, 0.5)),
        "read_p95_s": float(np.quantile(reads, 0.95)),
        "read_p99_s": float(np.quantile(reads, 0.99)),
        "events_seen": len(lags),
        "event_lag_p50_s": float(np.quantile(lags, 0.5)),
        "event_lag_p95_s": float(np.quantile(lags, 0.95)),
        "errors": len(errors),
        "first_errors": errors[:5],
    }


async def _read(
    client: httpx.AsyncClient, key: str, searches: list[str], end: float, reads: list[float], errors: list[str], n: int
) -> None:
    choose = random.Random(n)
    await asyncio.sleep(choose.random())
    while time.monotonic() < end:
        search = choose.choice(searches)
        path = choose.choice(
            [
                "/v1/searches?limit=50",
                f"/v1/searches/{search}",
                f"/v1/searches/{search}/trials?after={choose.randrange(4900)}&limit=50",
                f"/v1/searches/{search}/trials?sort=value&limit=20",
                f"/v1/searches/{search}/events?after={choose.randrange(10000)}&limit=100",
            ]
        )
        began = time.monotonic()
        try:
            answer = await client.get(path, headers={"Authorization": f"Bearer {key}"})
            if answer.status_code != 200:
                errors.append(f"{path.partition('?')[0]}: {answer.status_code} {answer.text[:100]}")
        except httpx.HTTPError as error:
            errors.append(f"{path}: {type(error).__name__}")
        spent = time.monotonic() - began
        reads.append(spent)
        await asyncio.sleep(max(0.0, 1.0 - spent))


async def _watch(
    client: httpx.AsyncClient, key: str, search: str, after: int, end: float, lags: list[float], errors: list[str]
) -> None:
    path = f"/v1/searches/{search}/events/stream?after={after}"
    try:
        async with client.stream("GET", path, headers={"Authorization": f"Bearer {key}"}) as answer:
            if answer.status_code != 200:
                errors.append(f"stream: {answer.status_code}")
                return
            async for line in answer.aiter_lines():
                now = time.time()
                if line.startswith("data:"):
                    found = json.loads(line[5:])
                    if found.get("kind") == "note":
                        lags.append(now - found["at"])
                if time.monotonic() > end:
                    return
    except httpx.HTTPError as error:
        errors.append(f"stream: {type(error).__name__}")


async def _happen(database: Database, stored: list[str], end: float) -> None:
    """One event per second in each stored search."""
    number = 0
    while time.monotonic() < end + 2.0:
        number += 1
        told = [events.Event("note", {"text": f"note {number}"}, key=f"note {number}")]

        def work(connection: Any, told: list[events.Event] = told) -> None:
            for search in stored:
                events.write(connection, search, told)

        await asyncio.to_thread(database.run, work)
        await asyncio.sleep(1.0)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        try:
            if httpx.get(address).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"{address} did not answer")


def _wait_until_running(database: Database, searches: list[str], worker: subprocess.Popen[bytes]) -> None:
    def done(connection: Any) -> list[int]:
        chosen = schema.search.c.id.in_(searches)
        return [row.done for row in connection.execute(schema.search.select().where(chosen))]

    for _ in range(1200):
        if worker.poll() is not None:
            break
        if all(database.run(done, reads=True)):
            return
        time.sleep(0.25)
    raise RuntimeError(f"the searches did not begin: {_states(database, searches)}")


def _states(database: Database, searches: list[str]) -> list[str]:
    chosen = schema.search.select().where(schema.search.c.id.in_(searches))
    return database.run(lambda connection: [row.state for row in connection.execute(chosen)], reads=True)


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def show(result: Result) -> None:
    """Print the result as a table."""
    figures, ratios = result["figures"], result["ratios"]["to_goal"]
    rows = [[name, f"{figures[name]:.3f}", f"{goal:.1f}", f"{ratios[name]:.2f}"] for name, goal in GOALS.items()]
    notes = [
        f"{figures['reads']} reads, half within {figures['read_p50_s']:.3f} s, 99 % in {figures['read_p99_s']:.3f} s",
        f"{figures['events_seen']} events; {figures['errors']} errors {figures['first_errors']}; {figures['database']}",
        f"searches that still ran at the end: {figures['searches_running_at_the_end']} of 2",
    ]
    print_table("the service under load", ("", "found", "goal", "of goal"), rows, notes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command("service_load", __doc__, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
