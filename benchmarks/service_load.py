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
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import numpy as np
from sqlalchemy import func, select

from benchmarks import service_stored
from benchmarks.report import Result, print_table, run_command
from benchmarks.service_stored import STORED, USERS
from losssearch.storage.engine import Database
from services import events, schema
from services.database import open_database
from services.migrations import upgrade
from services.settings import Settings

GOALS = {"read_p95_s": 0.1, "event_lag_p95_s": 2.0, "api_megabytes": 300.0}
READERS, WATCHERS = 150, 50


def measure(quick: bool) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Seconds of reads, lag of events, memory of the API; and those over the goals."""
    with tempfile.TemporaryDirectory() as folder, service_stored.new_database(Path(folder)) as (url, kind):
        figures = _measured(Path(folder), url, seconds=10.0 if quick else 90.0) | {"database": kind}
    ratios = {name: figures[name] / goal for name, goal in GOALS.items()}
    return figures | {"goals": GOALS}, {"to_goal": ratios}


def _measured(folder: Path, url: str, *, seconds: float) -> dict[str, Any]:
    environment = service_stored.environment_of(folder, url)
    settings = Settings.from_environment(environment)
    with ExitStack() as stack:
        database = open_database(settings.database_url, create=True)
        stack.callback(database.close)
        upgrade(database)
        team, users = database.run(service_stored.make_people)
        log = stack.enter_context((folder / "log").open("wb"))
        api = stack.enter_context(service_stored.Api(environment, log))
        dataset, running = _begin(api.address, users[0][1])
        stored = service_stored.fill(database, settings, team, users[0][0], dataset)
        stack.enter_context(_worker(environment, log))
        _wait_until_running(database, running)
        began, own = api.processor_seconds(), time.process_time()
        tokens = [token for _, token in users]
        found = asyncio.run(_load(api.address, tokens, stored + running, database, stored, seconds))
        found["api_cpu"] = (api.processor_seconds() - began) / seconds
        found["clients_cpu"] = (time.process_time() - own) / seconds
        found["api_megabytes"] = api.megabytes()
        found["searches_running_at_the_end"] = sum(state in schema.ACTIVE for state in _states(database, running))
        return found


@contextmanager
def _worker(environment: Mapping[str, str], log: Any) -> Iterator[None]:
    process = subprocess.Popen(
        [*service_stored.PROGRAM, "worker", "--slots", "2"], env=environment, stdout=log, stderr=log
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


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


async def _load(
    address: str, tokens: Sequence[str], searches: list[str], database: Database, stored: list[str], seconds: float
) -> dict[str, Any]:
    reads: list[float] = []
    lags: list[float] = []
    errors: list[str] = []
    newest = select(func.max(schema.event.c.id))
    after = database.run(lambda connection: connection.execute(newest).scalar_one(), reads=True)
    end = time.monotonic() + seconds
    async with AsyncExitStack() as stack:
        # A client each, as they would be programs of their own.
        clients = [
            await stack.enter_async_context(
                aiohttp.ClientSession(
                    address,
                    headers={"Authorization": f"Bearer {tokens[n % USERS]}"},
                    connector=aiohttp.TCPConnector(limit=1),
                    timeout=aiohttp.ClientTimeout(total=None, connect=60, sock_read=60),
                )
            )
            for n in range(READERS + WATCHERS)
        ]
        tasks = [_read(clients[n], searches, end, reads, errors, n) for n in range(READERS)]
        tasks += [_watch(clients[READERS + n], stored[n % STORED], after, end, lags, errors) for n in range(WATCHERS)]
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
    client: aiohttp.ClientSession, searches: list[str], end: float, reads: list[float], errors: list[str], n: int
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
            async with client.get(path) as answer:
                content = await answer.read()
            if answer.status != 200:
                errors.append(f"{path.partition('?')[0]}: {answer.status} {content[:100].decode(errors='replace')}")
        except (aiohttp.ClientError, TimeoutError) as error:
            errors.append(f"{path}: {type(error).__name__}")
        spent = time.monotonic() - began
        reads.append(spent)
        await asyncio.sleep(max(0.0, 1.0 - spent))


async def _watch(
    client: aiohttp.ClientSession, search: str, after: int, end: float, lags: list[float], errors: list[str]
) -> None:
    path = f"/v1/searches/{search}/events/stream?after={after}"
    try:
        async with client.get(path) as answer:
            if answer.status != 200:
                errors.append(f"stream: {answer.status}")
                return
            async for line in answer.content:
                now = time.time()
                if line.startswith(b"data:"):
                    found = json.loads(line[5:])
                    if found.get("kind") == "note":
                        lags.append(now - found["at"])
                if time.monotonic() > end:
                    return
    except (aiohttp.ClientError, TimeoutError) as error:
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


def _wait_until_running(database: Database, searches: list[str]) -> None:
    def done(connection: Any) -> list[int]:
        chosen = schema.search.c.id.in_(searches)
        return [row.done for row in connection.execute(schema.search.select().where(chosen))]

    until = time.monotonic() + 900
    while time.monotonic() < until:
        if all(database.run(done, reads=True)):
            return
        time.sleep(0.25)
    raise RuntimeError(f"the searches did not begin: {_states(database, searches)}")


def _states(database: Database, searches: list[str]) -> list[str]:
    chosen = schema.search.select().where(schema.search.c.id.in_(searches))
    return database.run(lambda connection: [row.state for row in connection.execute(chosen)], reads=True)


def show(result: Result) -> None:
    """Print the result as a table."""
    figures, ratios = result["figures"], result["ratios"]["to_goal"]
    rows = [[name, f"{figures[name]:.3f}", f"{goal:.1f}", f"{ratios[name]:.2f}"] for name, goal in GOALS.items()]
    notes = [
        f"{figures['reads']} reads, half within {figures['read_p50_s']:.3f} s, 99 % in {figures['read_p99_s']:.3f} s",
        f"{figures['events_seen']} events; {figures['errors']} errors {figures['first_errors']}; {figures['database']}",
        f"searches that still ran at the end: {figures['searches_running_at_the_end']} of 2",
        f"of one core: the API {figures['api_cpu']:.2f}, its clients here {figures['clients_cpu']:.2f}",
    ]
    print_table("the service under load", ("", "found", "goal", "of goal"), rows, notes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command("service_load", __doc__, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
