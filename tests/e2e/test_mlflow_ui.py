"""The MLflow UI of a study, from outside: over HTTP, in a browser, and gone while a study is tracked through it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from losssearch.storage.records import TrialRecord, TrialState
from losssearch.tracking import background
from losssearch.tracking.background import BackgroundTracker
from losssearch.tracking.location import local_store
from losssearch.tracking.mlflow import MlflowTracker
from losssearch.tracking.tracker import DatasetInfo
from losssearch.tracking.ui import free_port

# MLflow 3.17 maps with a loader that SQLAlchemy 2.1 deprecates.
pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")]

DATASET = DatasetInfo("wine", "f" * 16, 178, 13, "target", "builtin:wine")
SERVE = """
import sys
from pathlib import Path
from losssearch.tracking.ui import serve_ui
serve_ui(sys.argv[1], Path(sys.argv[2]), port=int(sys.argv[3]), echo=lambda line: print(line, flush=True))
"""
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def _trials(*numbers: int) -> list[TrialRecord]:
    spec = {"parts": [{"term": "focal", "gamma": 1.5}]}
    done, rungs = TrialState.COMPLETED, ((5, 0.25),)
    return [
        TrialRecord(n, "searched", f"searched-{n}", spec, "k", done, value=0.5 + n / 100, epochs=9, rungs=rungs)
        for n in numbers
    ]


class Ui:
    """A served UI: the line that it said, and its process."""

    def __init__(self, uri: str, artifacts: Path, port: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, uri, str(artifacts), str(port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline().strip()
        self.address = f"http://127.0.0.1:{port}"

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(f"{self.address}/api/2.0/mlflow/{path}", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def children(self, experiment: str, parent: str) -> dict[str, dict[str, Any]]:
        query = {"experiment_ids": [experiment], "filter": f"tags.`mlflow.parentRunId` = '{parent}'"}
        runs = self.post("runs/search", query).get("runs", [])
        children = {run["info"]["run_name"]: run for run in runs}
        assert len(children) == len(runs), "a trial has two runs"
        return children


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, str]:
    """A store with one finished study of three trials, which was moved: URI, artifact folder, run."""
    made, moved = (tmp_path_factory.mktemp("study") / name for name in ("made", "moved"))
    made.mkdir()
    (made / "report.html").write_text("the report")
    uri, artifacts = local_store(made)
    tracker = MlflowTracker(uri, artifacts=artifacts)
    run_id = tracker.start("wine", {"trials": 3}, {}, DATASET)["run_id"]
    tracker.log_trials(_trials(0, 1, 2), dict.fromkeys(range(3), "focal(gamma=1.5)"), "macro_f1")
    said = {"verdict": {"text": "No better than cross-entropy."}}
    tracker.log_result(said, [made / "report.html"], {"test_macro_f1": 0.5})
    tracker.close("FINISHED")
    made.rename(moved)
    return *local_store(moved), run_id


@pytest.fixture(scope="module")
def ui(store: tuple[str, Path, str]) -> Iterator[Ui]:
    served = Ui(store[0], store[1], free_port())
    yield served
    assert served.stop(signal.SIGINT) == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(served.address, timeout=5)


def _experiment(ui: Ui) -> str:
    match = re.fullmatch(
        rf"MLflow UI: {ui.address}/#/experiments/(\d+)/runs\?workflowType=machine_learning \(Ctrl-C ends it\)", ui.line
    )
    assert match, ui.line
    return match[1]


def test_the_served_store_has_the_parent_and_its_children(ui: Ui, store: tuple[str, Path, str]) -> None:
    experiment = _experiment(ui)
    children = ui.children(experiment, store[2])
    assert sorted(children) == ["searched-0", "searched-1", "searched-2"]
    data = children["searched-2"]["data"]
    assert {"key": "parts.0.gamma", "value": "1.5"} in data["params"]
    assert {"key": "losssearch.formula", "value": "focal(gamma=1.5)"} in data["tags"]
    assert [(metric["key"], metric["value"], metric["step"]) for metric in data["metrics"]] == [
        ("validation_macro_f1", 0.52, 9)
    ]
    parents = ui.post("runs/search", {"experiment_ids": [experiment], "filter": "attributes.run_name = 'wine'"})
    assert [run["info"]["run_id"] for run in parents["runs"]] == [store[2]]
    assert parents["runs"][0]["info"]["status"] == "FINISHED"


def test_files_of_a_study_that_was_moved_are_served(ui: Ui, store: tuple[str, Path, str]) -> None:
    with urllib.request.urlopen(f"{ui.address}/api/2.0/mlflow/artifacts/list?run_id={store[2]}", timeout=60) as answer:
        assert [file["path"] for file in json.load(answer)["files"]] == ["report.html"]
    with urllib.request.urlopen(
        f"{ui.address}/get-artifact?path=report.html&run_uuid={store[2]}", timeout=60
    ) as answer:
        assert answer.read() == b"the report"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (apt-get install chromium)")
def test_a_browser_shows_the_runs_table_and_one_child(ui: Ui, store: tuple[str, Path, str], tmp_path: Path) -> None:
    runs = f"{ui.address}/#/experiments/{_experiment(ui)}/runs"
    child = ui.children(_experiment(ui), store[2])["searched-1"]["info"]["run_id"]
    pages = {
        f"{runs}?workflowType=machine_learning": ["Run Name", "wine"],
        f"{runs}/{child}?workflowType=machine_learning": ["searched-1", "focal(gamma=1.5)", "validation_macro_f1"],
    }
    for number, (address, texts) in enumerate(pages.items()):
        command = [str(BROWSER), *QUIET, f"--user-data-dir={tmp_path}/{number}", "--virtual-time-budget=30000"]
        shown = subprocess.run(
            [*command, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True
        ).stdout
        assert [text for text in texts if text not in shown] == []


def test_a_server_that_is_killed_does_not_lose_a_trial(
    ui: Ui, store: tuple[str, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(background, "PAUSE", 0.0)
    spool, port = tmp_path / "spool.jsonl", free_port("127.0.0.1", 0)
    server = Ui(store[0], store[1], port)

    def tracker() -> BackgroundTracker:
        return BackgroundTracker(MlflowTracker(server.address), spool)

    first = tracker()
    run_id = first.start("killed", {}, {}, DATASET)["run_id"]
    first.log_trials(_trials(0, 1), {}, "macro_f1")
    while len(ui.children(_experiment(ui), run_id)) < 2:
        os.sched_yield()
    assert server.stop(signal.SIGTERM) == 0
    first.log_trials(_trials(2), {}, "macro_f1")
    first.close("KILLED")
    assert any("keeps the rest for resume=True" in problem for problem in first.problems)
    assert spool.exists()

    server = Ui(store[0], store[1], port)
    second = tracker()
    second.start("killed", {}, {}, DATASET, run_id=run_id)
    second.log_trials(_trials(0, 1, 2, 3), {}, "macro_f1")
    second.close("FINISHED")
    children = ui.children(_experiment(ui), run_id)
    assert server.stop(signal.SIGINT) == 0
    assert sorted(children) == [f"searched-{n}" for n in range(4)]
    assert {run["info"]["status"] for run in children.values()} == {"FINISHED"}
    assert second.problems == ()
    assert not spool.exists()
