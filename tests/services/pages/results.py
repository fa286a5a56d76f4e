"""Searches that have ended, as a worker would have left them: rows, events, trials, and a folder."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, update

from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.sql import SqlStore
from services import events, schema
from services.events import Event
from tests.services.api.serving import Running, folder_of

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
SPEC = {"parts": [{"term": "focal", "gamma": 2.0}]}


def begin(running: Running, search: str, *, trials: int = 3, note: str = "a note", title: str = "Search") -> None:
    """Let a search run: its study has trials, and its events tell of them."""
    store = SqlStore(running.settings.storage)
    store.create_study(StudyRecord(search, {"metric": "f1", "task": "binary"}, "0", "2026-01-01T00:00:00+00:00"))
    done = TrialState.COMPLETED
    records = [
        TrialRecord(n, "searched", f"searched-{n}", SPEC, f"k{n}", done, value=0.5 + n / 100) for n in range(trials)
    ]
    store.save_trials(search, records)
    store.close()

    def work(connection: Connection) -> None:
        told = [Event("stage", {"name": "search", "title": title, "total": trials}, key="search")]
        told += [
            Event("trial", {"number": n, "value": 0.5 + n / 100, "best": 0.5 + n / 100}, trial=n) for n in range(trials)
        ]
        told += [Event("note", {"text": note}, key=note[:64])]
        events.write(connection, search, told)
        _set(connection, search, state="running", stage="search", done=trials, total=trials + 2, best=0.5, started=1.0)

    running.database.run(work)


def end(running: Running, search: str, *, text: str = "Use the searched loss.", **given: Any) -> None:
    """Let it end with a result."""
    formula, gap = given.get("formula", "focal(gamma=2)"), given.get("gap", "demographic_parity_difference")
    folder = folder_of(running, search)
    (folder / "export").mkdir(parents=True)
    (folder / "figures").mkdir()
    (folder / "figures" / "loss_shape.png").write_bytes(PNG)
    (folder / "report.html").write_text("<!doctype html><title>r</title><p>The report.")
    (folder / "export" / "loss.py").write_text("LOSS = 1\n")
    constraint = {"name": gap, "op": "<=", "limit": 0.1, "met": True, "test": 0.05}
    floor = {"mean": 0.03, "quantile": 0.2, "verifiable": False}
    best = {"formula": formula, "constraints": [{**constraint, "noise_floor": floor}]}
    ablation = [{"part": formula, "against": "without the part", "difference": 0.01, "interval": [-0.01, 0.03]}]
    result = {
        "verdict": {"text": text, "grade": "probably better", "recommended": "searched"},
        "metric": {"name": "f1", "direction": "maximize", "unit": "share"},
        "best": best,
        "ablation": ablation,
        "notes": [text],
    }
    row = {"rank": 1, "name": "searched", "formula": formula, "validation": 0.52, "test": 0.51, "std": 0.01}
    row |= {"difference": 0.0, "recommended": True, "interval_low": None, gap: 0.05, f"{gap}_met": True}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "leaderboard.json").write_text(json.dumps([row]))
    summary = {"text": text, "grade": "probably better", "formula": formula, "metric": "f1"}
    running.database.run(
        lambda c: _set(c, search, state="done", ended=61.0, exit_code=0, summary=summary, mlflow_run="f" * 32)
    )


def fail(running: Running, search: str, message: str) -> None:
    """Let it fail."""
    running.database.run(lambda c: _set(c, search, state="failed", ended=2.0, exit_code=2, message=message))


def _set(connection: Connection, search: str, **values: Any) -> None:
    chosen = update(schema.search).where(schema.search.c.id == search)
    connection.execute(chosen.values(revision=schema.search.c.revision + 1, **values))
