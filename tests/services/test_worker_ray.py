"""Searches of the service on a Ray cluster that loses a process: an equal result; and cancelled ones leave nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from losssearch.storage.engine import Database
from services import events, schema
from services.database import open_database
from services.migrations import upgrade
from services.worker import Timing
from tests.services.conftest import House
from tests.services.ray_cluster import RayCluster
from tests.services.studies import Studies, Trials, children
from tests.services.test_worker import wait_for

ROOT = Path(__file__).resolve().parents[2]
ASKED = {"trials": 8, "epochs": 2}

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A cluster for all tests; whoever disturbs it lets it be as it was."""
    made = RayCluster(tmp_path_factory.mktemp("ray") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        for name, value in made.variables.items():
            patch.setenv(name, value)
        yield made
    made.close()


@pytest.fixture(scope="module")
def studies(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studies]:
    """A service whose studies train on the cluster."""
    folder = tmp_path_factory.mktemp("service")
    database: Database = open_database(f"sqlite:///{folder}/service.db", create=True)
    upgrade(database)
    house = House(f"sqlite:///{folder}/service.db", database, {})
    house.team("one")
    yield Studies.made(house, folder / "data", ray_address=cluster.address)
    database.close()


@pytest.fixture(scope="module")
def undisturbed(studies: Studies) -> tuple[dict[str, Any], Trials]:
    """What comes of the same search on the same cluster when nothing happens."""
    search = studies.submit(**ASKED)
    with studies.worker():
        row = studies.ends(search)
    assert (row["state"], row["message"]) == ("done", "")
    return studies.result(search), studies.trials(search)


@pytest.mark.parametrize("victim", ["ray::Worker", "raylet", "gcs_server"])
def test_a_search_whose_cluster_loses_a_process_comes_to_the_same_result(
    studies: Studies, cluster: RayCluster, undisturbed: tuple[dict[str, Any], Trials], victim: str
) -> None:
    search = studies.submit(**ASKED)
    with studies.worker(timing=Timing()):
        wait_for(lambda: studies.house.row(search)["done"] > 0)
        began = time.monotonic()
        chosen = [pid for pid in cluster.named(victim) if pid not in children()]
        os.kill(chosen[0], signal.SIGKILL)
        if victim != "ray::Worker":
            wait_for(lambda: studies.house.row(search)["state"] in ("queued", *schema.TERMINAL))
            row = studies.house.row(search)
            print(f"{victim}: {row['state']} after {time.monotonic() - began:.1f} s: {row['message']}")  # noqa: T201
            cluster.restart()
        row = studies.ends(search)
    print(f"{victim}: ended after {time.monotonic() - began:.1f} s, attempt {row['attempt']}")  # noqa: T201
    told = studies.house.database.run(lambda connection: events.read(connection, search), reads=True)
    print([one.data for one in told if one.kind in ("note", "state")])  # noqa: T201
    assert (row["state"], row["exit_code"]) == ("done", 0)
    assert row["attempt"] == (1 if victim == "ray::Worker" else row["attempt"])
    assert (studies.result(search), studies.trials(search)) == undisturbed
    assert len(undisturbed[1]) == ASKED["trials"]


def test_a_search_on_a_cluster_is_cancelled_soon_and_leaves_nothing(studies: Studies, cluster: RayCluster) -> None:
    search, other = studies.submit(trials=400, epochs=20), studies.submit(trials=400)
    with studies.worker():
        wait_for(lambda: studies.house.row(search)["done"] > 0)
        actors = working(cluster)
        took = studies.cancel(search)
        wait_for(lambda: not set(actors) & set(cluster.named("ray::Worker")))
        print(f"cancelled on Ray after {took:.1f} s; {len(actors)} actors")  # noqa: T201
        assert actors
        assert studies.house.row(search)["state"] == "cancelled"
        assert took <= 25  # under ten seconds where the machine has nothing else to do
        wait_for(lambda: studies.house.row(other)["done"] > 0)
        studies.cancel(other)
    wait_for(lambda: not working(cluster))


def working(cluster: RayCluster) -> list[int]:
    """The actors of the cluster: not its agents, nor the processes that it keeps idle."""
    return cluster.named("ray::Worker")
