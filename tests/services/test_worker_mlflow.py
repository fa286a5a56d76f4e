"""Searches of the service whose MLflow server is away: an equal result, and MLflow has all of them in the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from services import events
from tests.services.conftest import House
from tests.services.studies import Studies
from tests.services.test_worker import END, ON_SQLITE, wait_for
from tests.tracking.servers import Server

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = {"leaderboard.json", "result.json", "report.html", "export", "figures"}
AWAY = 60.0

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(2400), ON_SQLITE]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "server").mkdir()
    made = Server(tmp_path / "server")
    yield made
    made.kill()


@pytest.fixture
def studies(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Studies:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return Studies.made(house, tmp_path / "data", tracking_uri=server.address)


def is_complete(studies: Studies, search: str) -> bool:
    return bool(studies.house.row(search)["mlflow_run"]) and not studies.house.waits_for_mlflow(search)


def tracked(server: Server, run_id: str) -> tuple[str, list[int], set[str]]:
    """State, trials and artifacts of a run."""
    client = MlflowClient(server.address)
    run = client.get_run(run_id)
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    trials = sorted(int(child.data.tags["losssearch.trial"]) for child in children)
    return run.info.status, trials, {file.path for file in client.list_artifacts(run_id)}


@pytest.mark.parametrize("when", ["in the search", "from before the search until after it"])
def test_a_server_that_was_away_has_all_in_the_end(studies: Studies, server: Server, when: str) -> None:
    if when != "in the search":
        server.kill()
    search = studies.submit()
    with studies.worker():
        if when == "in the search":
            wait_for(lambda: studies.house.row(search)["done"] > 0)
            server.kill()
            time.sleep(AWAY)
            server.start()
            row = studies.ends(search)
        else:
            row = studies.ends(search)
            assert studies.whole(search)["mlflow"]["complete"] is not True
            server.start()
        began = time.monotonic()
        wait_for(lambda: is_complete(studies, search), 3 * END)
        print(f"MLflow had all {time.monotonic() - began:.0f} s later: away {when}")  # noqa: T201
    told = studies.house.database.run(lambda connection: events.read(connection, search), reads=True)
    print([one.data for one in told if one.kind in ("note", "state")])  # noqa: T201
    assert (row["state"], row["exit_code"], row["attempt"]) == ("done", 0, 1)
    expected, trials = studies.undisturbed()
    assert (studies.result(search), studies.trials(search)) == (expected, trials)
    found = studies.whole(search)["mlflow"]
    assert (found["complete"], found["problems"], found["experiment"]) == (True, [], "losssearch/one")
    assert studies.house.row(search)["mlflow_run"] == found["run_id"]
    assert tracked(server, found["run_id"]) == ("FINISHED", [number for number, _ in trials], ARTIFACTS)


def test_the_run_of_a_cancelled_search_is_ended(studies: Studies, server: Server) -> None:
    search = studies.submit(trials=400)
    with studies.worker():
        wait_for(lambda: studies.house.row(search)["done"] > 0)
        server.kill()
        studies.cancel(search)
        server.start()
        wait_for(lambda: is_complete(studies, search), 3 * END)
    status, trials, _ = tracked(server, str(studies.house.row(search)["mlflow_run"]))
    assert (status, trials) == ("KILLED", [number for number, value in studies.trials(search) if value is not None])
