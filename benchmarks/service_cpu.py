"""CPU that the API takes per request, by kind of request: one client, no other load.

    python -m benchmarks.service_cpu [--before CHECKOUT] [--quick] [--json FILE]

On the searches of `benchmarks.service_load`: 5,000 stored trials each. With ``--before`` the API of another checkout,
whose tables are of the same version, answers the same requests in turn with this one, so that both meet the same
machine. What counts is the processor time of the API and of the processes that it starts, not the time that a client
waits; the database's is left out. ``docs/performance-benchmarks.md`` tells more.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from benchmarks import service_stored
from benchmarks.machine import describe_machine
from benchmarks.report import Result, keep, make_parser, make_result, parse, print_table
from services import schema
from services.database import new_id, now, open_database
from services.migrations import upgrade
from services.settings import Settings

_TURNS = 4
_PAGE = 50

Paths = Callable[[int], str]
"""The path of the n-th request."""


def measure(quick: bool, before: Path | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Milliseconds of CPU per request of each kind; and those of this checkout to those of the other."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, kind = stack.enter_context(service_stored.new_database(folder))
        environment = service_stored.environment_of(folder, url)
        settings = Settings.from_environment(environment)
        database = open_database(settings.database_url, create=True)
        stack.callback(database.close)
        upgrade(database)
        team, users = database.run(service_stored.make_people)
        dataset = database.run(lambda connection: _dataset(connection, team, users[0][0]))
        searches = service_stored.fill(database, settings, team, users[0][0], dataset)
        log = stack.enter_context((folder / "log").open("wb"))
        checkouts = {"now": None} | ({} if before is None else {"before": before.resolve()})
        met = {}
        for name, checkout in checkouts.items():
            api = stack.enter_context(service_stored.Api(environment, log, checkout))
            headers = {"Authorization": f"Bearer {users[0][1]}"}
            client = stack.enter_context(httpx.Client(base_url=api.address, headers=headers, timeout=60))
            _log_in(client)
            met[name] = (api, client)
        figures = _figures(met, searches, 25 if quick else 100)
    ratios = {kind: found["now"] / found["before"] for kind, found in figures.items() if "before" in found}
    return {"milliseconds": figures, "database": kind}, {"to_before": ratios}


def _figures(
    met: Mapping[str, tuple[service_stored.Api, httpx.Client]], searches: Sequence[str], requests: int
) -> dict[str, dict[str, float]]:
    """Of each kind of request, the milliseconds of each API per request."""
    found = {}
    for name, path in _kinds(searches, requests).items():
        spent = dict.fromkeys(met, 0.0)
        for _, client in met.values():  # what is made once per process, or per connection, does not count
            _ask(client, path(0), 3)
        for turn in range(_TURNS):
            for which, (api, client) in met.items():
                began = api.processor_seconds()
                for number in range(requests):
                    _ask(client, path(turn * requests + number), 1)
                spent[which] += api.processor_seconds() - began
        found[name] = {which: 1000 * seconds / (_TURNS * requests) for which, seconds in spent.items()}
    return found


def _kinds(searches: Sequence[str], requests: int) -> dict[str, Paths]:
    pages = service_stored.TRIALS // _PAGE

    def trials(number: int) -> str:
        search, after = searches[number // pages % len(searches)], number % pages * _PAGE - 1
        return f"/v1/searches/{search}/trials?after={after}&limit={_PAGE}"

    def one(number: int) -> str:
        return searches[number % len(searches)]

    return {
        "health": lambda _: "/health",
        "list of searches": lambda _: "/v1/searches?limit=50",
        "one search": lambda n: f"/v1/searches/{one(n)}",
        f"{_PAGE} trials not asked for before": trials,
        f"{_PAGE} trials asked for before": lambda n: trials(n % requests),
        "best 20 trials": lambda n: f"/v1/searches/{one(n)}/trials?sort=value&limit=20",
        "100 events": lambda n: f"/v1/searches/{one(n)}/events?after={20 * n}&limit=100",
        "live part of a page": lambda n: f"/searches/{one(n)}/live",
    }


def _log_in(client: httpx.Client) -> None:
    """Let pages know the client too, by a session's cookie."""
    asked = {"name": "user0", "password": service_stored.PASSWORD}
    client.post("/v1/session", json=asked).raise_for_status()


def _ask(client: httpx.Client, path: str, times: int) -> None:
    for _ in range(times):
        client.get(path).raise_for_status()


def _dataset(connection: Any, team: str, owner: str) -> str:
    made = {"id": new_id(), "team_id": team, "owner_id": owner, "name": "table", "state": "ready"}
    connection.execute(schema.dataset.insert().values(made | {"created": now(connection)}))
    return made["id"]


def show(result: Result) -> None:
    """Print the result as a table."""
    found, ratios = result["figures"]["milliseconds"], result["ratios"]["to_before"]
    rows = [
        [
            kind,
            f"{one['before']:.2f}" if "before" in one else "",
            f"{one['now']:.2f}",
            f"{ratios[kind]:.2f}" if ratios else "",
        ]
        for kind, one in found.items()
    ]
    print_table(
        "CPU of the API per request", ("", "before, ms", "now, ms", "ratio"), rows, [result["figures"]["database"]]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = make_parser("service_cpu", __doc__)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="the root of another checkout, to compare with")
    options = parse(parser, arguments)
    figures, ratios = measure(options.quick, options.before)
    result = make_result("service_cpu", figures, ratios, describe_machine(torch_threads=1))
    show(result)
    keep(result, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
