"""From nothing to a loss, as a team would: a user, an upload, a search, its events, its loss and its runs in MLflow.

In containers where there is a Docker engine (``TORCH_INDEX`` says where the torch of the image comes from), and
with the same programs as plain processes where there is a PostgreSQL server.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.installed import ROOT, Containers, Installed, Processes, answer
from tests.torch_alone import make_torch_alone

pytestmark = [pytest.mark.nightly, pytest.mark.e2e, pytest.mark.timeout(5400)]

PASSWORD = "correct horse battery"
TRIALS = 64
SEARCH = ["--target", "income", "--metric", "accuracy", "--sensitive", "sex", "--trials", str(TRIALS)]
SEARCH += ["--constraint", "demographic_parity_difference <= 0.2", "--max-rows", "2000", "--epochs", "2"]


def docker() -> bool:
    if not shutil.which("docker") or not shutil.which("docker-compose"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@pytest.fixture(params=["containers", "processes"])
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installed]:
    postgres = os.environ.get("LOSSSEARCH_TEST_POSTGRES")
    if request.param == "containers" and not docker():
        pytest.skip("no Docker engine answers, or docker-compose is missing")
    if request.param == "processes" and not postgres:
        pytest.skip("LOSSSEARCH_TEST_POSTGRES names no server (`. .ci/postgres` starts one)")
    made: Installed = Containers(tmp_path) if request.param == "containers" else Processes(tmp_path, postgres or "")
    try:
        yield made
    finally:
        made.remove()


class Person:
    """Somebody with the command line and a folder of their own."""

    def __init__(self, url: str, name: str, folder: Path) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self._environment = os.environ | {"XDG_CONFIG_HOME": str(self.folder / "config"), "PYTHONPATH": str(ROOT)}
        self.run("remote", "login", url, "--user", name, stdin=f"{PASSWORD}\n")
        kept = self.folder / "config" / "losssearch" / "remote.json"
        self.token = str(json.loads(kept.read_text(encoding="utf-8"))["token"])
        self._url = url

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "losssearch", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done

    def asks(self, path: str) -> tuple[int, Any]:
        status, content, _ = answer(f"{self._url}{path}", None, {"Authorization": f"Bearer {self.token}"})
        return status, json.loads(content)


def runs_of(installed: Installed, token: str, experiment: str) -> list[dict[str, Any]]:
    asked = {"experiment_ids": [experiment], "max_results": 500}
    status, found = installed.mlflow("api/2.0/mlflow/runs/search", token, asked)
    assert status == 200, found
    return list(found.get("runs", []))


def experiment_of(installed: Installed, token: str, team: str) -> tuple[int, str]:
    status, found = installed.mlflow(f"api/2.0/mlflow/experiments/get-by-name?experiment_name=losssearch/{team}", token)
    return status, found["experiment"]["experiment_id"] if status == 200 else ""


def test_a_team_gets_its_loss_and_keeps_it(installed: Installed, tmp_path: Path, shared_data: Path) -> None:
    installed.start()
    installed.serve("user", "ada", "--team", "red", "--admin", stdin=f"{PASSWORD}\n")
    installed.serve("user", "bob", "--team", "blue", stdin=f"{PASSWORD}\n")
    ada, bob = (Person(installed.url, name, tmp_path) for name in ("ada", "bob"))

    search = ada.run("remote", "submit", str(shared_data / "parquet" / "adult.parquet"), *SEARCH).stdout.strip()
    watched = ada.run("remote", "watch", search)
    assert "done" in watched.stderr
    ada.run("remote", "get", search, "--out", "loss")
    python = make_torch_alone(tmp_path / "torch-alone")
    loss = ada.folder / "loss" / "loss.py"
    check = subprocess.run([python, "-I", loss], cwd="/", capture_output=True, text=True, check=False)
    assert (check.returncode, "the check passed" in check.stdout) == (0, True), check.stderr

    def seen() -> dict[str, Any]:
        status, shown = ada.asks(f"/v1/searches/{search}")
        assert (status, shown["state"], shown["done"]) == (200, "done", shown["total"])
        events = ada.asks(f"/v1/searches/{search}/events?limit=200")[1]["items"]
        assert experiment_of(installed, ada.token, "red")[0] == 200
        runs = runs_of(installed, ada.token, experiment_of(installed, ada.token, "red")[1])
        tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs]
        (parent,) = [
            run["info"]["run_id"] for run, own in zip(runs, tags, strict=True) if "mlflow.parentRunId" not in own
        ]
        assert {own["mlflow.parentRunId"] for own in tags if "mlflow.parentRunId" in own} == {parent}
        assert {run["info"]["status"] for run in runs} == {"FINISHED"}
        artifacts = installed.mlflow(f"api/2.0/mlflow/artifacts/list?run_id={parent}", ada.token)[1]["files"]
        trials = ada.asks(f"/v1/searches/{search}/trials?limit=200")[1]["items"]
        return {
            "children": len(runs) - 1,
            "trials": len(trials),
            "events": sorted({event["kind"] for event in events}),
            "artifacts": sorted(file["path"] for file in artifacts),
        }

    before = seen()
    assert (before["children"], before["trials"]) == (TRIALS, TRIALS)
    assert {"report.html", "result.json"} <= set(before["artifacts"])
    assert len(before["events"]) >= 3
    others(installed, bob, search)

    installed.stop()
    installed.start()
    assert seen() == before
    ada.run("remote", "get", search, "--out", "again")
    assert (ada.folder / "again" / "loss.py").read_text() == loss.read_text()


def others(installed: Installed, bob: Person, search: str) -> None:
    """What somebody of another team, and a stranger, do not see."""
    assert bob.asks(f"/v1/searches/{search}")[0] == 404
    assert experiment_of(installed, bob.token, "red")[0] == 403
    assert (
        installed.mlflow("api/2.0/mlflow/experiments/search?max_results=9", bob.token)[1].get("experiments", []) == []
    )
    assert installed.mlflow("", "ls_not_a_token")[0] == 401
    if isinstance(installed, Containers):
        reached = installed.reached_from_outside()
        assert len(reached) == 9
        assert [place for place, open_ in reached.items() if open_] == ["proxy:8080"]
