"""A tracking server that is frozen, one dead from the start: nothing is lost, doubled or called finished."""

from __future__ import annotations

import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import tenacity
from mlflow import MlflowClient

from losssearch.errors import ConnectionLostError
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.tracking import background, mlflow
from losssearch.tracking.background import BackgroundTracker
from losssearch.tracking.mlflow import MlflowTracker
from losssearch.tracking.tracker import DatasetInfo
from tests.tracking.servers import Server

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")]

DATASET = DatasetInfo("wine", "f" * 16, 178, 13, "target", "builtin:wine")


def _trials(*numbers: int) -> list[TrialRecord]:
    spec = {"parts": [{"term": "focal", "gamma": 1.5}]}
    return [
        TrialRecord(
            n, "searched", f"searched-{n}", spec, "k", TrialState.COMPLETED, value=0.5, epochs=9, rungs=((5, 0.2),)
        )
        for n in numbers
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(background, "PATIENCE", 2.0)


def _settled(client: MlflowClient, run_id: str) -> Counter[str]:
    """How many children each trial has, once the server has done what it was asked while it was frozen."""
    experiment, before = client.get_run(run_id).info.experiment_id, None
    while True:
        found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
        now = Counter(run.data.tags["losssearch.trial"] for run in found)
        if now == before:
            return now
        before = now
        time.sleep(1)


def test_what_a_frozen_server_missed_is_there_once_after_a_resume(server: Server, tmp_path: Path) -> None:
    spool = tmp_path / "spool.jsonl"
    first = BackgroundTracker(MlflowTracker(server.address, "frozen"), spool)
    run_id = first.start("wine", {"trials": 8}, {}, DATASET)["run_id"]
    first.log_trials(_trials(0, 1), {}, "f1")
    while not first._queue.empty():
        time.sleep(0.01)
    server.signal(signal.SIGSTOP)
    for number in range(2, 8):
        first.log_trials(_trials(number), {}, "f1")
    first.log_result({"verdict": {"text": "Use focal."}}, [], {"test_f1": 0.5})
    first.close("FINISHED")
    assert "keeps the rest for resume=True" in first.problems[0]
    server.signal(signal.SIGCONT)
    client = MlflowClient(server.address)
    assert client.get_run(run_id).info.status == "RUNNING"
    _settled(client, run_id)

    again = BackgroundTracker(MlflowTracker(server.address, "frozen"), spool)
    assert again.start("wine", {"trials": 8}, {}, DATASET, run_id=run_id)["run_id"] == run_id
    again.close("FINISHED")
    assert again.problems == ()
    assert not spool.exists()
    assert _settled(client, run_id) == Counter(map(str, range(8)))
    run = client.get_run(run_id)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"test_f1": 0.5})
    assert len(client.get_metric_history(run_id, "test_f1")) == 1


def test_a_run_whose_answer_was_lost_is_found_again(server: Server) -> None:
    tags = {"losssearch.id": "0123"}
    server.signal(signal.SIGSTOP)
    lost = MlflowTracker(server.address, "begun")
    try:
        with pytest.raises(ConnectionLostError, match="reachable"):
            lost.start("wine", {}, tags, DATASET)
    finally:
        server.signal(signal.SIGCONT)
    first = MlflowTracker(server.address, "begun").start("wine", {"a": 1}, tags, DATASET)
    second = MlflowTracker(server.address, "begun").start("wine", {"a": 1}, tags, DATASET)
    assert first == second
    client = MlflowClient(server.address)
    assert len(client.search_runs([client.get_run(first["run_id"]).info.experiment_id])) == 1


@pytest.mark.parametrize("uri", ["postgresql+psycopg://u:Canary7Xq@127.0.0.1:{}/db", "http://u:Canary7Xq@127.0.0.1:{}"])
def test_a_dead_store_is_told_within_seconds(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mlflow.OPENING <= 9
    monkeypatch.setattr(mlflow._opening, "stop", tenacity.stop_after_delay(1))
    monkeypatch.setattr(background, "NOTICE", 0.1)
    notes: list[str] = []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tracker = BackgroundTracker(MlflowTracker(uri.format(port)), tmp_path / "spool.jsonl", note=notes.append)
    with pytest.raises(ConnectionLostError, match="reachable") as lost:
        tracker.start("wine", {}, {}, DATASET)
    tracker.close("FAILED")
    assert "waiting" in notes[0]
    error: BaseException | None = lost.value
    while error is not None:
        assert "Canary7Xq" not in f"{error} {error.args}"
        error = error.__cause__ or error.__context__
