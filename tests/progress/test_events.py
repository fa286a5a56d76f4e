"""Events of a study as JSON lines, and observers that lack some methods."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import losssearch as ls
from losssearch.errors import InterruptedStudyError
from losssearch.progress.events import EventLines, events_of
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.observer import Population, Recorder
from losssearch.study.result import COUNTED

DOCS = Path(__file__).parents[2] / "docs" / "events.md"
SMALL: dict[str, Any] = {"target": "target", "epochs": 1, "confirm_seeds": 2, "draws": 1, "rates": [0.01], "workers": 0}
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def _read(stream: io.StringIO) -> list[dict[str, Any]]:
    lines = stream.getvalue().splitlines()
    found = list(events_of(iter(lines)))
    assert len(found) == len(lines)
    return found


class Stopped(EventLines):
    """Breaks the study off after some trials, as Ctrl-C does."""

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        super().trials(records, best)
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The events of a study that was interrupted, and those of its resume."""
    out = tmp_path_factory.mktemp("events") / "study"
    first, second = io.StringIO(), io.StringIO()
    with pytest.raises(InterruptedStudyError):
        ls.search("builtin:wine", out=out, trials=12, mlflow=False, observer=Stopped(first), **SMALL)
    ls.search("builtin:wine", out=out, resume=True, observer=EventLines(second))
    return _read(first), _read(second)


def test_every_trial_is_told_once_and_replayed_ones_say_so(
    runs: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    first, second = ({one["number"]: one for one in events if one["event"] == "trial"} for events in runs)
    assert 0 < len(first) < 12
    assert not any(one["replayed"] for one in first.values())
    assert {number for number, one in second.items() if one["replayed"]} == set(first)
    assert set(second) == set(range(12))
    for number, one in first.items():
        again, unlike = second[number], {"at": "", "best": 0, "ended": ""}
        assert one | unlike | {"replayed": True} == again | unlike
        assert one["at"][:16] <= again["ended"] <= again["at"]
        assert STAMP.fullmatch(again["ended"])
    assert [one["event"] for one in runs[1]].count("trial") == 12


def test_stages_populations_and_the_result_are_told_in_order(
    runs: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    events = runs[1]
    kinds = [one["event"] for one in events]
    assert [one["name"] for one in events if one["event"] == "stage"][0::3] == ["search", "confirmation"]
    assert kinds[-1] == "result"
    assert all(STAMP.fullmatch(one["at"]) for one in events)
    assert [one["at"] for one in events] == sorted(one["at"] for one in events)
    told: set[int] = set()
    for one in events:
        if one["event"] == "population" and one["stage"] == "search":
            assert (one["epochs"], one["worker"]) == (1, "this process")
            told.update(one["trials"])
        elif one["event"] == "trial" and not one["replayed"] and one["state"] in ("completed", "pruned"):
            assert one["number"] in told
    confirming = [one for one in events if one["event"] == "advance" and one["stage"] == "confirmation"]
    assert [one["done"] for one in confirming] == list(range(1, confirming[-1]["total"] + 1))
    result = events[-1]
    assert result["verdict"]["text"]
    assert result["unmet"] is None
    assert sum(result["trials"][state] for state in COUNTED) == result["trials"]["total"] == 12
    best = [one for one in events if one["event"] == "trial"][-1]["best"]
    assert best == max(one["value"] for one in events if one["event"] == "trial" and one["value"] is not None)


def test_the_fields_are_those_that_are_documented(runs: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
    events = [*runs[0], *runs[1], *_others()]
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(rows) == {one["event"] for one in events}
    for one in events:
        for name in set(one) - {"event", "at"}:
            assert f"`{name}`" in rows[one["event"]], (one["event"], name)


def _others() -> list[dict[str, Any]]:
    """Events that a small study need not have."""
    stream = io.StringIO()
    events = EventLines(stream, lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    events.deadline(61.5)
    events.underway(math.inf)
    events.note("two\nlines, and postgresql://me:secret-word@host/db")
    return _read(stream)


def test_odd_values_stay_one_line_of_json() -> None:
    deadline, underway, note = _others()
    at, ends = "2026-01-02T03:04:05.000000Z", "2026-01-02T03:05:06.500000Z"
    assert deadline == {"event": "deadline", "at": at, "seconds": 61.5, "ends": ends}
    assert underway["value"] is None
    assert note["text"].startswith("two lines, and ")
    assert "secret-word" not in note["text"]


def test_a_reader_that_went_away_does_not_end_the_study() -> None:
    stream = io.StringIO()
    events = EventLines(stream)
    stream.close()
    events.stage("search", 3)
    assert list(events_of(iter(['{"event": "stage"}', '{"event": "tri', "[]", "{}"]))) == [{"event": "stage"}]


class Old:
    """An observer with the methods of earlier versions."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.ended = 0

    def note(self, message: str) -> None:
        self.told.append("note")

    def stage(self, name: str, total: int) -> None:
        self.told.append(name)

    def deadline(self, seconds: float) -> None: ...

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        self.ended += len(records)

    def underway(self, value: float) -> None: ...

    def advance(self) -> None: ...


class OnlyStages:
    """An observer that has use for one method."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stage(self, name: str, total: int) -> None:
        self.told.append(name)


def test_observers_without_some_methods_watch_a_study(tmp_path: Path) -> None:
    study = {"out": tmp_path / "s", "mlflow": False, **SMALL}
    few = OnlyStages()
    ls.search("builtin:wine", trials=4, observer=few, **study)  # type: ignore[arg-type]
    assert few.told[0] == "search"
    old = Old()
    ls.search("builtin:wine", out=tmp_path / "s", resume=True, trials=6, observer=old)  # type: ignore[arg-type]
    assert old.ended == 6
    assert "confirmation" in old.told


def test_a_recorder_hands_everything_on() -> None:
    stream = io.StringIO()
    events = Recorder(EventLines(stream))
    record = TrialRecord(3, "searched", "s", {"parts": [{"term": "focal"}]}, "k", TrialState.COMPLETED, value=0.5)
    events.resumed([record], 0.5)
    events.trials([record], 0.5)
    events.population(Population("search", (4, 5), 9, "worker 17"))
    first, second, third = _read(stream)
    assert (first["replayed"], second["replayed"]) == (True, False)
    assert third | {"at": ""} == {
        "event": "population", "at": "", "stage": "search", "trials": [4, 5], "epochs": 9, "worker": "worker 17",
    }  # fmt: skip
    assert json.loads(stream.getvalue().splitlines()[0])["formula"]
