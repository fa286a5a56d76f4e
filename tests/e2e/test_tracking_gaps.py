"""A study whose tracking store could not be written: its result says so, and a resume fills the store in."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

import losssearch as ls
from losssearch.storage.records import TrialRecord
from losssearch.study.observer import SilentObserver
from losssearch.tracking import background, tables

pytestmark = pytest.mark.e2e


class Locking(SilentObserver):
    """Holds the tracking store's write lock from the first trials on, as another program may."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.notes: list[str] = []
        self.lock: sqlite3.Connection | None = None

    def note(self, message: str) -> None:
        self.notes.append(message)

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        if self.lock is None and records:
            self.lock = sqlite3.connect(self._store, 60, isolation_level=None)
            self.lock.execute("BEGIN IMMEDIATE")


def _status(store: Path) -> tuple[str, int]:
    """The state of the study's run, and how many others there are."""
    with closing(sqlite3.connect(store)) as connection:
        parents = (
            "SELECT status FROM runs WHERE run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = 'losssearch.trial')"
        )
        ((status,),) = connection.execute(parents).fetchall()
        return status, connection.execute("SELECT count(*) FROM runs").fetchone()[0] - 1


def test_a_gap_is_told_and_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_WAIT", 0.1)
    monkeypatch.setattr(background, "PATIENCE", 20.0)
    out = tmp_path / "out"
    study = {"target": "target", "trials": 6, "epochs": 1, "confirm_seeds": 2, "workers": 0, "out": out}
    observer = Locking(out / "mlflow.db")
    first = ls.search("builtin:wine", **study, observer=observer)  # type: ignore[arg-type]
    assert observer.lock is not None
    observer.lock.close()
    told = json.loads((out / "result.json").read_text())
    assert told == first.to_json()
    assert told["mlflow"]["complete"] is False
    # A file names what lies in its own folder without the folder.
    notes = [note.replace(f"{out}/", "") for note in observer.notes if "track" in note]
    assert told["mlflow"]["problems"] == notes
    assert "keeps the rest for resume=True" in told["mlflow"]["problems"][0]
    assert _status(out / "mlflow.db")[0] == "RUNNING"

    second = ls.search("builtin:wine", **study, resume=True)  # type: ignore[arg-type]
    filled = json.loads((out / "result.json").read_text())
    assert filled == second.to_json()
    assert (filled["mlflow"]["complete"], filled["mlflow"]["problems"]) == (True, [])
    assert filled == {**told, "mlflow": filled["mlflow"]}
    assert _status(out / "mlflow.db") == ("FINISHED", 6)
    assert not (out / "mlflow-spool.jsonl").exists()
