"""The background tracker with a tracking store that is slow, lost, or lost and back."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from losssearch.errors import ConnectionLostError, OptionError
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.tracking import background
from losssearch.tracking.background import BackgroundTracker
from losssearch.tracking.spool import Entry, Result, Spool, Trials
from losssearch.tracking.tracker import DatasetInfo, SilentTracker, Status

DATASET = DatasetInfo("d", "f", 1, 1, "y", "d.csv")


def _trial(number: int) -> TrialRecord:
    values = (0.5, math.inf)
    return TrialRecord(
        number, "searched", f"s{number}", {}, "k", TrialState.COMPLETED, values=values, rungs=((1, 0.5),)
    )


class FakeTracker(SilentTracker):
    """Takes down what it gets, unless ``lost``; waits for ``gate`` before each write."""

    def __init__(self) -> None:
        self.trials: list[TrialRecord] = []
        self.results: list[Mapping[str, Any]] = []
        self.closed: list[Status] = []
        self.lost = False
        self.attempts = 0
        self.gate = threading.Event()
        self.gate.set()

    def _write(self) -> None:
        self.attempts += 1
        assert self.gate.wait(30)
        if self.lost:
            raise ConnectionLostError("no answer")

    def start(
        self,
        study: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        dataset: DatasetInfo,
        *,
        run_id: str | None = None,
    ) -> dict[str, str]:
        self._write()
        return {"run_id": run_id or "new"}

    def log_trials(self, trials: Sequence[TrialRecord], formulas: Mapping[int, str], metric: str) -> None:
        self._write()
        self.trials += trials

    def log_result(self, result: Mapping[str, Any], artifacts: Sequence[Path], metrics: Mapping[str, float]) -> None:
        self._write()
        self.results.append(result)

    def close(self, status: Status) -> None:
        self._write()
        self.closed.append(status)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background._retrying, "sleep", lambda seconds: None)
    monkeypatch.setattr(background, "PATIENCE", 0.3)
    monkeypatch.setattr(background, "NOTICE", 0.1)


@pytest.fixture
def fake() -> Iterator[FakeTracker]:
    fake = FakeTracker()
    yield fake
    fake.gate.set()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool.jsonl"


def _started(fake: FakeTracker, spool: Path, *, run_id: str | None = None, capacity: int = 1000) -> BackgroundTracker:
    tracker = BackgroundTracker(fake, spool, capacity=capacity)
    tracker.start("study", {}, {}, DATASET, run_id=run_id)
    return tracker


def test_only_a_store_that_is_slow_is_noted(fake: FakeTracker, spool: Path) -> None:
    notes: list[str] = []
    BackgroundTracker(fake, spool, note=notes.append, load=lambda: time.sleep(0.5)).start("s", {}, {}, DATASET)
    assert notes == []
    fake.gate.clear()
    threading.Timer(0.5, fake.gate.set).start()
    BackgroundTracker(fake, spool, note=notes.append, load=lambda: None).start("s", {}, {}, DATASET)
    assert notes == ["the tracking store has not answered for some seconds: waiting for it"]


def test_what_cannot_be_loaded_is_raised_where_the_tracker_starts(fake: FakeTracker, spool: Path) -> None:
    def load() -> None:
        raise OptionError("tracking needs mlflow")

    with pytest.raises(OptionError, match="needs mlflow"):
        BackgroundTracker(fake, spool, load=load).start("s", {}, {}, DATASET)


def test_all_is_written_in_order_before_close_returns(fake: FakeTracker, spool: Path) -> None:
    tracker = _started(fake, spool)
    for number in range(50):
        tracker.log_trials([_trial(number)], {}, "f1")
    tracker.log_result({"a": 1}, [], {})
    tracker.close("FINISHED")
    tracker.close("FAILED")
    assert [trial.number for trial in fake.trials] == list(range(50))
    assert fake.results == [{"a": 1}]
    assert fake.closed == ["FINISHED"]
    assert tracker.problems == ()


def test_a_start_that_fails_raises_in_the_caller(fake: FakeTracker, spool: Path) -> None:
    fake.lost = True
    tracker = BackgroundTracker(fake, spool)
    with pytest.raises(ConnectionLostError, match="no answer"):
        tracker.start("study", {}, {}, DATASET)
    fake.lost = False
    tracker.close("FAILED")


def test_logging_does_not_wait_for_a_slow_store(fake: FakeTracker, spool: Path) -> None:
    tracker = _started(fake, spool, capacity=4)
    fake.gate.clear()
    for number in range(20):
        tracker.log_trials([_trial(number)], {}, "f1")
    assert len(spool.read_text().splitlines()) >= 15, "the queue has room for 4 and the writer for 1"
    assert "slower" in tracker.problems[0]
    fake.gate.set()
    tracker.close("FINISHED")
    assert sorted(trial.number for trial in fake.trials) == list(range(20))
    assert tracker.problems == ()
    assert not spool.exists()


def test_a_short_fault_is_retried(fake: FakeTracker, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = _started(fake, spool)
    fake.lost = True

    def mend(seconds: float) -> None:
        fake.lost = False

    monkeypatch.setattr(background._retrying, "sleep", mend)
    tracker.log_trials([_trial(1)], {}, "f1")
    tracker.close("FINISHED")
    assert [trial.number for trial in fake.trials] == [1]
    assert tracker.problems == ()


def test_a_lost_store_is_one_problem_and_nothing_is_lost(fake: FakeTracker, spool: Path) -> None:
    tracker = _started(fake, spool)
    fake.lost = True
    before = fake.attempts
    for number in range(10):
        tracker.log_trials([_trial(number)], {number: "focal"}, "f1")
    tracker.log_result({"loss": math.inf}, [Path("figure.svg")], {"test": 0.5})
    tracker.close("FINISHED")
    kept, left_open = tracker.problems
    assert "keeps the rest for resume=True or `losssearch sync`: no answer" in kept
    assert "left open" in left_open
    # The first entry and one look at the spool: a lost server is not asked for each entry.
    assert fake.attempts - before == background.ATTEMPTS + 1
    assert fake.closed == []
    assert len(spool.read_text().splitlines()) == 11

    fake.lost = False
    again = _started(fake, spool, run_id="new")
    again.close("FINISHED")
    assert fake.trials == [_trial(number) for number in range(10)]
    assert fake.results == [{"loss": math.inf}]
    assert again.problems == ()
    assert not spool.exists()


def test_a_store_that_is_back_at_the_end_gets_all(fake: FakeTracker, spool: Path) -> None:
    tracker = _started(fake, spool)
    fake.lost = True
    for number in range(3):
        tracker.log_trials([_trial(number)], {}, "f1")
    while not tracker.problems or not tracker._queue.empty():
        tracker._thread.join(0.01)
    fake.lost = False
    tracker.close("FINISHED")
    assert {trial.number for trial in fake.trials} == {0, 1, 2}
    assert tracker.problems == ()
    assert fake.closed == ["FINISHED"]


def test_a_store_that_hangs_does_not_hold_up_the_end(fake: FakeTracker, spool: Path) -> None:
    tracker = _started(fake, spool)
    fake.gate.clear()
    for number in range(5):
        tracker.log_trials([_trial(number)], {}, "f1")
    tracker.close("FINISHED")
    assert "does not answer" in tracker.problems[0]
    assert len(spool.read_text().splitlines()) >= 4


def test_the_entry_in_flight_is_kept_where_the_store_hangs(fake: FakeTracker, spool: Path) -> None:
    notes: list[str] = []
    tracker = BackgroundTracker(fake, spool, note=notes.append)
    tracker.start("study", {}, {}, DATASET)
    before = fake.attempts
    fake.gate.clear()
    tracker.log_trials([_trial(0)], {}, "f1")
    while fake.attempts == before:
        tracker._thread.join(0.01)
    tracker.log_trials([_trial(1)], {}, "f1")
    tracker.close("FINISHED")
    kept: list[Entry] = []
    Spool(spool).replay("new", kept.append)
    assert [entry.trials[0].number for entry in kept if isinstance(entry, Trials)] == [0, 1]
    assert fake.closed == []
    assert "waiting" in notes[0]


def test_a_record_that_is_not_complete_is_not_finished(fake: FakeTracker, spool: Path) -> None:
    tracker = _started(fake, spool)
    fake.lost = True
    tracker.log_trials([_trial(0)], {}, "f1")
    replay = tracker._replay

    def back_after_replay() -> None:
        replay()
        fake.lost = False  # only now, so that all but the end of the record failed

    tracker._replay = back_after_replay  # type: ignore[method-assign]
    tracker.close("FINISHED")
    assert fake.closed == []
    assert "not complete" in " ".join(tracker.problems)
    again = _started(fake, spool, run_id="new")
    again.close("FINISHED")
    assert fake.closed == ["FINISHED"]
    assert [trial.number for trial in fake.trials] == [0]


def test_a_start_that_waits_is_told(fake: FakeTracker, spool: Path) -> None:
    notes: list[str] = []

    def note(message: str) -> None:
        notes.append(message)
        fake.gate.set()

    fake.gate.clear()
    tracker = BackgroundTracker(fake, spool, note=note)
    tracker.start("study", {}, {}, DATASET)
    tracker.close("FINISHED")
    assert len(notes) == 1
    assert "waiting for it" in notes[0]


def test_a_spool_that_cannot_be_written_is_told(fake: FakeTracker, tmp_path: Path) -> None:
    tracker = _started(fake, tmp_path / "missing" / "spool.jsonl")
    fake.lost = True
    tracker.log_trials([_trial(0)], {}, "f1")
    tracker.close("FINISHED")
    assert "tracking is incomplete: no answer" in " ".join(tracker.problems)


def test_a_spool_keeps_what_is_not_its_runs(spool: Path) -> None:
    kept = Spool(spool)
    kept.add("theirs", Trials((_trial(1),), {1: "focal"}, "f1"))
    kept.add("ours", Trials((_trial(2),), {2: "focal"}, "f1"))
    kept.add("ours", Result({"a": [math.inf]}, (Path("/x"),), {"f1": 0.5}))
    with spool.open("a") as file:
        file.write('{"run_id": "ours", "tri\n[]\n{"run_id": "ours", "trials": 5}\n')
    found: list[object] = []
    kept.replay("ours", found.append)
    assert found == [Trials((_trial(2),), {2: "focal"}, "f1"), Result({"a": [math.inf]}, (Path("/x"),), {"f1": 0.5})]
    assert [line[:18] for line in spool.read_text().splitlines()] == [
        '{"run_id": "theirs',
        '{"run_id": "ours",',
        "[]",
        '{"run_id": "ours",',
    ]
    kept.replay("theirs", found.append)
    assert found[-1] == Trials((_trial(1),), {1: "focal"}, "f1")
