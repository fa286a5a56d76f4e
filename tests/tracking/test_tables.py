"""A study's own MLflow store, written by SQL: the rows of MLflow's client, whatever stands in the way."""

from __future__ import annotations

import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from losssearch.storage.records import TrialRecord, TrialState
from losssearch.tracking import template
from losssearch.tracking.client import ClientRuns
from losssearch.tracking.location import local_store
from losssearch.tracking.mlflow import MlflowTracker
from losssearch.tracking.tables import LAYOUT, TableRuns, is_known
from losssearch.tracking.tracker import DatasetInfo

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

DATASET = DatasetInfo("adult", "f" * 64, rows=48842, features=14, target="income", source="adult.parquet")
SPEC = {"parts": [{"term": "focal", "gamma": 1.5}], "decision": "tuned"}
TRIALS = [
    TrialRecord(0, "baseline", "focal", SPEC, "a", TrialState.COMPLETED, value=0.75, values=(0.5, 1.0), rate=0.003,
                epochs=20, rungs=((5, 0.25), (10, 0.5)), seconds=2.0),
    TrialRecord(1, "searched", "searched-1", SPEC, "b", TrialState.FAILED, reason="diverged"),
]  # fmt: skip
CHANGING = ("run_uuid", "artifact_uri", "start_time", "end_time", "timestamp", "creation_time", "last_update_time",
            "dataset_uuid", "input_uuid", "source_id", "destination_id", "artifact_location")  # fmt: skip


def _write(folder: Path, *, direct: bool) -> Path:
    folder.mkdir()
    uri, artifacts = local_store(folder)
    tracker = MlflowTracker(uri, artifacts=artifacts, direct=direct)
    tracker.start("adult", {"trials": 2, "plan": {"epochs": 20}}, {"losssearch.version": "1"}, DATASET)
    tracker.log_trials(TRIALS, {0: "focal", 1: "focal"}, "f1")
    tracker.log_result({"verdict": {"text": "Use focal."}}, [], {"test_f1": 0.5})
    tracker.close("FINISHED")
    return folder / "mlflow.db"


def _rows(file: Path, table: str) -> list[tuple[object, ...]]:
    """All rows, ids and times left out; a run's id as its name."""
    with closing(sqlite3.connect(file)) as connection:
        names = dict(connection.execute("SELECT run_uuid, name FROM runs"))
        found = connection.execute(f"SELECT * FROM {table}")
        columns = [column[0] for column in found.description]
        return sorted(
            tuple(
                str(names.get(value, value))
                for column, value in zip(columns, row, strict=True)
                if column not in CHANGING
            )
            for row in found
        )


def test_rows_are_those_of_the_client(tmp_path: Path) -> None:
    ours, theirs = _write(tmp_path / "ours", direct=True), _write(tmp_path / "theirs", direct=False)
    for table in LAYOUT:
        assert _rows(ours, table) == _rows(theirs, table), table
    with closing(sqlite3.connect(ours)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("direct", [True, False])
def test_artifacts_are_found_by_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool) -> None:
    monkeypatch.chdir(tmp_path)  # as `losssearch ui` does: a study's store keeps paths within its folder
    uri, artifacts = local_store(tmp_path)
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "loss.py").write_text("x")
    (tmp_path / "report.html").write_text("y")
    MlflowTracker(uri, artifacts=artifacts).prepare()
    tracker = MlflowTracker(uri, artifacts=artifacts, direct=direct)
    run = tracker.start("adult", {}, {}, DATASET)["run_id"]
    for _ in range(2):
        tracker.log_result({}, [tmp_path / "export", tmp_path / "report.html"], {})
    tracker.close("FINISHED")
    client = MlflowClient(uri)
    assert {entry.path for entry in client.list_artifacts(run)} == {"export", "report.html"}
    assert [entry.path for entry in client.list_artifacts(run, "export")] == ["export/loss.py"]


def _paths(file: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(file)) as connection:
        return {
            "experiments": [where for (where,) in connection.execute("SELECT artifact_location FROM experiments")],
            "runs": [where for (where,) in connection.execute("SELECT artifact_uri FROM runs")],
        }


def test_a_store_of_an_earlier_version_that_was_moved_finds_its_files(tmp_path: Path) -> None:
    made, moved = tmp_path / "mlartifacts" / "made", tmp_path / "moved"
    made.parent.mkdir()
    file = _write(made, direct=True)
    before = _paths(file)
    assert before["experiments"] == ["mlartifacts/0", "mlartifacts"]
    assert all(re.fullmatch(r"mlartifacts/\w{32}/artifacts", where) for where in before["runs"])
    with closing(sqlite3.connect(file)) as connection, connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            connection.execute(f"UPDATE {table} SET {column} = ? || {column}", (f"{made.resolve().as_uri()}/",))
    made.rename(moved)
    (moved / "report.html").write_text("y")
    uri, artifacts = local_store(moved)
    tracker = MlflowTracker(uri, artifacts=artifacts)
    run = tracker.start("adult", {}, {}, DATASET)["run_id"]
    tracker.log_result({}, [moved / "report.html"], {})
    tracker.close("FINISHED")
    after = _paths(moved / "mlflow.db")
    assert after["experiments"] == before["experiments"]
    assert set(before["runs"]) < set(after["runs"])
    assert (artifacts / run / "artifacts" / "report.html").read_text() == "y"
    assert not made.exists()


def test_files_of_another_store_stay_where_they_are(tmp_path: Path) -> None:
    file = _write(tmp_path / "study", direct=True)
    elsewhere = tmp_path / "other" / "mlartifacts"
    elsewhere.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id > 0", (elsewhere.as_uri(),)
        )
    uri, artifacts = local_store(tmp_path / "study")
    MlflowTracker(uri, artifacts=artifacts).prepare()
    assert _paths(file)["experiments"] == ["mlartifacts/0", elsewhere.as_uri()]


def test_two_drivers_record_a_trial_once(tmp_path: Path) -> None:
    """A killed driver may still be writing when the next one begins."""
    uri, artifacts = local_store(tmp_path)
    first, second = (MlflowTracker(uri, artifacts=artifacts) for _ in range(2))
    run = first.start("adult", {}, {}, DATASET)["run_id"]
    second.start("adult", {}, {}, DATASET, run_id=run)
    for tracker in (first, second, first):
        tracker.log_trials(TRIALS, {}, "f1")
    for tracker in (first, second):
        tracker.close("FINISHED")
    assert len(_rows(tmp_path / "mlflow.db", "runs")) == 3
    assert len(_rows(tmp_path / "mlflow.db", "metrics")) == 4


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, artifacts = local_store(tmp_path)
    tracker = MlflowTracker(uri, artifacts=artifacts)
    tracker.start("adult", {}, {}, DATASET)
    monkeypatch.setattr("losssearch.tracking.tables._POINT", "INSERT INTO nowhere VALUES (?, ?, ?, ?, ?)")
    with pytest.raises(Exception, match="nowhere"):
        tracker.log_trials(TRIALS, {}, "f1")
    assert len(_rows(tmp_path / "mlflow.db", "runs")) == 1
    monkeypatch.undo()
    tracker.log_trials(TRIALS, {}, "f1")
    tracker.close("FINISHED")
    assert len(_rows(tmp_path / "mlflow.db", "runs")) == 3


def _kind(tracker: MlflowTracker) -> type:
    return type(tracker._opened)


def test_other_tables_go_through_the_client(tmp_path: Path) -> None:
    file = _write(tmp_path / "study", direct=True)
    assert is_known(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("ALTER TABLE params ADD COLUMN novelty TEXT")
    assert not is_known(file)
    uri, artifacts = local_store(tmp_path / "study")
    tracker = MlflowTracker(uri, artifacts=artifacts)
    tracker.prepare()
    assert _kind(tracker) is ClientRuns


def test_a_store_that_was_named_goes_through_the_client(tmp_path: Path) -> None:
    tracker = MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db")
    tracker.prepare()
    assert _kind(tracker) is ClientRuns


def test_without_a_cache_the_client_makes_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    uri, artifacts = local_store(tmp_path / "study")
    tracker = MlflowTracker(uri, artifacts=artifacts)
    tracker.prepare()
    assert _kind(tracker) is ClientRuns


def test_a_template_is_made_once_and_again_where_it_is_spoilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(template, "_make", _counted := _Counted(template._make))
    for number in range(3):
        assert template.place_empty_store(tmp_path / f"{number}.db", tmp_path)
        assert is_known(tmp_path / f"{number}.db")
    assert _counted.calls == 1
    (kept,) = (tmp_path / "cache" / "losssearch").iterdir()
    kept.write_bytes(b"SQLite format 3\0spoilt")
    assert template.place_empty_store(tmp_path / "again.db", tmp_path)
    assert _counted.calls == 2
    before = kept.read_bytes()
    template.place_empty_store(kept, tmp_path)
    assert kept.read_bytes() == before, "a file that is there is left as it is"


class _Counted:
    def __init__(self, function: object) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments: object) -> None:
        self.calls += 1
        self.function(*arguments)  # type: ignore[operator]


def test_writing_needs_no_import_of_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert template.place_empty_store(tmp_path / "mlflow.db", tmp_path)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    runs = TableRuns(tmp_path / "mlflow.db", "losssearch", tmp_path / "artifacts")
    run = runs.begin("study", {}, DATASET)
    runs.end(run, "KILLED")
    assert _rows(tmp_path / "mlflow.db", "runs")[0][0] == "study"
