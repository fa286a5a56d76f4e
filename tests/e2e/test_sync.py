"""A tracking server that loses what it is sent: the study says so, and `losssearch sync` tells it again, once."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from losssearch.assembly.sync import sync
from losssearch.cli.app import main
from losssearch.errors import ConnectionLostError
from losssearch.tracking import background
from losssearch.tracking.mlflow import MlflowTracker
from losssearch.tracking.tracker import DatasetInfo
from tests.tracking.servers import Proxy, Server

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")]

SECRET = "Canary7Xq"
SMALL = ["--epochs", "1", "--confirm-seeds", "2", "--draws", "1", "--rates", "0.01", "--workers", "0", "--quiet"]
ARTIFACTS = {"leaderboard.json", "result.json", "report.html", "export", "figures"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server.address)
    yield proxy
    proxy.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(background, "PAUSE", 0.5)


def _tracked(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "result.json").read_text())["mlflow"]
    return found


def _state(client: MlflowClient, run_id: str) -> tuple[str, list[str], set[str], int]:
    """State of a study's run, its trials, its artifacts, and how many values its metrics have."""
    run = client.get_run(run_id)
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    points = sum(len(client.get_metric_history(run_id, name)) for name in run.data.metrics)
    trials = sorted(child.data.tags["losssearch.trial"] for child in children)
    return run.info.status, trials, {file.path for file in client.list_artifacts(run_id)}, points


def test_artifacts_that_failed_are_told_and_synced(
    server: Server, proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, client = tmp_path / "study", MlflowClient(server.address)
    uri = f"http://me:{SECRET}@{proxy.host}"
    tracked = ["--tracking-uri", uri]
    proxy.artifacts = 500
    command = ["search", "builtin:wine", "--target", "target", "--trials", "4", "--out", str(out), *SMALL]
    command.remove("--quiet")
    assert main([*command, *tracked, "--experiment", "synced"]) == 0
    said = capsys.readouterr().err
    assert "tracking is incomplete, mlflow-spool.jsonl keeps the rest for --resume or `losssearch sync`" in said
    found = _tracked(out)
    run_id = found["run_id"]
    assert (found["complete"], found["experiment"]) == (False, "synced")
    assert "500" in found["problems"][0]
    assert all(f" {problem}" in f" {' '.join(said.split())}" for problem in found["problems"])
    everyone = list(map(str, range(4)))
    assert _state(client, run_id) == ("RUNNING", everyone, set(), 1)

    assert main(["sync", str(out)]) == 2
    assert "whose password is not kept: give --tracking-uri again" in capsys.readouterr().err
    proxy.artifacts = 403
    assert main(["sync", str(out), *tracked]) == 4
    assert "403" in capsys.readouterr().err
    assert "403" in _tracked(out)["problems"][0]
    server.signal(signal.SIGSTOP)
    try:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        assert main(["sync", str(out), *tracked]) == 4
    finally:
        server.signal(signal.SIGCONT)
        monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    assert _tracked(out)["complete"] is False
    proxy.mend()
    for _ in range(2):
        assert main(["sync", str(out), *tracked]) == 0
        assert f"run {run_id}" in capsys.readouterr().out
        assert _tracked(out) == found | {"complete": True, "problems": []}
        assert _state(client, run_id) == ("FINISHED", everyone, ARTIFACTS, 1)
    assert not (out / "mlflow-spool.jsonl").exists()

    # More trials, while the server goes down on the way; then a store that has nothing of the study yet.
    proxy.left = 12
    assert main(["search", "--resume", "--out", str(out), "--trials", "6", "--quiet", *tracked]) == 0
    assert _tracked(out)["complete"] is False
    proxy.mend()
    assert main(["sync", str(out), *tracked]) == 0
    assert _state(client, run_id) == ("FINISHED", list(map(str, range(6))), ARTIFACTS, 1)
    other = f"sqlite:///{tmp_path}/other.db"
    monkeypatch.chdir(tmp_path)  # where MLflow keeps the artifacts of such a store
    assert main(["sync", str(out), "--tracking-uri", other]) == 0
    found = _tracked(out)
    assert (found["tracking_uri"], found["complete"]) == (other, True)
    assert _state(MlflowClient(other), found["run_id"])[:3] == ("FINISHED", list(map(str, range(6))), ARTIFACTS)
    assert SECRET not in "".join(path.read_bytes().decode("latin-1") for path in out.rglob("*.*"))


def test_a_server_that_keeps_artifacts_on_another_disk_is_noticed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written where the server cannot see it has not arrived."""
    (tmp_path / "report.html").write_text("x")
    (tmp_path / "ours").mkdir()
    client = MlflowClient(server.address)
    client.create_experiment("elsewhere", (tmp_path / "theirs").as_uri())
    tracker = MlflowTracker(server.address, "elsewhere")
    tracker.start("wine", {}, {}, DatasetInfo("wine", "f", 1, 1, "y", "wine.csv"))
    tracker.log_result({}, [tmp_path / "report.html"], {})  # the same machine: the server sees it
    with monkeypatch.context() as another:
        another.setattr(MlflowClient, "log_artifact", lambda *given: None)  # as on another machine
        with pytest.raises(ConnectionLostError, match=r"leaderboard\.json did not arrive"):
            tracker.log_result({}, [tmp_path / "report.html", tmp_path / "leaderboard.json"], {})
    with pytest.raises(ConnectionLostError, match=r"gone\.html"):
        tracker.log_result({}, [tmp_path / "gone.html"], {})
    tracker.close("FAILED")


def test_what_cannot_be_synced_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", str(tmp_path)]) == 2
    assert f"{tmp_path} holds no study.db: name the store, --storage" in capsys.readouterr().err
    out = tmp_path / "study"
    command = ["search", "builtin:wine", "--target", "target", "--trials", "4", "--out", str(out), *SMALL]
    assert main([*command, "--no-mlflow"]) == 0
    assert main(["sync", str(out)]) == 2
    assert "was run without MLflow: name the store that is to have its runs, --tracking-uri" in capsys.readouterr().err


def test_a_sync_that_is_broken_off_does_not_say_that_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, uri = tmp_path / "study", f"sqlite:///{tmp_path}/mlflow.db"
    command = ["search", "builtin:wine", "--target", "target", "--trials", "4", "--out", str(out), *SMALL]
    assert main([*command, "--no-mlflow"]) == 0
    monkeypatch.chdir(tmp_path)

    def interrupted(*_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("losssearch.assembly.sync.tell", interrupted)
        assert main(["sync", str(out), "--tracking-uri", uri]) == 130
    assert _tracked(out)["complete"] is False
    assert _tracked(out)["problems"] == ["`losssearch sync` was broken off"]
    assert main(["sync", str(out), "--tracking-uri", uri]) == 0
    assert _tracked(out)["complete"] is True


def test_the_run_of_an_unfinished_study_says_how_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, uri = tmp_path / "study", f"sqlite:///{tmp_path}/mlflow.db"
    command = ["search", "builtin:wine", "--target", "target", "--trials", "4", "--out", str(out), *SMALL]
    assert main([*command, "--no-mlflow"]) == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("losssearch.assembly.sync.kept_publication", lambda *_given: None)  # as before its end
    for failed, status in ((False, "KILLED"), (True, "FAILED")):
        told = sync(out, tracking_uri=uri, failed=failed)
        assert not told.finished
        assert MlflowClient(uri).get_run(told.run_id).info.status == status
