"""What a study tells in lines becomes progress and events, and nothing that it tells can hurt its worker."""

from __future__ import annotations

import json

import pytest

from services.events import Event
from services.queue import Progress
from services.worker import telling
from services.worker.telling import LONGEST, Told


def tell(told: Told, event: str, **fields: object) -> None:
    told.line(json.dumps({"event": event, **fields}).encode() + b"\n")


def test_progress_and_events() -> None:
    told = Told()
    assert not told.news()
    tell(told, "note", text="task binary inferred")
    tell(told, "stage", name="search", title="Searching", total=64)
    tell(told, "trial", number=0, value=0.5, best=0.5)
    tell(told, "trial", number=1, value=None, best=0.5)
    assert told.news()
    progress, events = told.take()
    assert progress == Progress(stage="search", done=2, total=64, best=0.5)
    assert [(one.kind, one.trial) for one in events] == [("note", -1), ("stage", -1), ("trial", 0), ("trial", 1)]
    assert events[2].data == {"number": 0, "value": 0.5, "best": 0.5}
    assert len({one.key for one in events if one.trial < 0}) == 2
    assert not told.news()
    tell(told, "stage", name="confirmation", total=2)
    tell(told, "advance", done=1)
    tell(told, "result", mlflow={"run_id": "r1"}, verdict={})
    tell(told, "summary", summary={"grade": "better"})
    tell(told, "problem", message="no candidate")
    progress, _ = told.take()
    assert progress == Progress(stage="confirmation", done=1, total=2, best=0.5, mlflow_run="r1")
    assert (told.summary, told.problem) == ({"grade": "better"}, "no candidate")


def test_events_that_could_not_be_written_come_again_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    for number in range(3):
        tell(told, "trial", number=number)
    _, events = told.take()
    tell(told, "trial", number=3)
    told.put_back(events)
    assert told.news()
    assert [one.trial for one in told.take()[1]] == [0, 1, 2, 3]
    monkeypatch.setattr(telling, "MOST", 2)
    told.put_back([Event("trial", trial=number) for number in range(5)])
    assert [one.trial for one in told.take()[1]] == [3, 4]


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[1, 2]\n",
        b'"event"\n',
        b'{"event": 3}\n',
        b'{"event": "unknown", "number": 1}\n',
        b'{"event": "note", "text": "' + b"x" * LONGEST + b'"}\n',
        b"[" * 60_000 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_a_line_that_is_no_event_is_left_out(line: bytes) -> None:
    told = Told()
    told.line(line)
    assert told.take() == (Progress(), [])


def test_numbers_that_are_none_do_no_harm() -> None:
    told = Told()
    tell(told, "stage", name="search", total="many")
    tell(told, "trial", number="first", best=float("nan"))
    tell(told, "trial", number=1 << 40, best="best")
    progress, events = told.take()
    assert progress == Progress(stage="search", done=2, total=0)
    assert [one.trial for one in events] == [-1, -1, -1]
