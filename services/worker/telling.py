"""What a study tells on its standard output: a JSON object per line, which become progress and events."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.events import NO_TRIAL, Event
from services.queue import Progress

MOST = 20_000
"""Events that wait while the database cannot be reached; of more, the oldest are dropped."""

LONGEST = 1 << 16
"""Bytes of a line; a longer one is dropped."""

_KEY = 64


class Told:
    """Keeps what a study has told and nobody has written yet. Safe to use from two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[Event] = deque(maxlen=MOST)
        self._progress = Progress()
        self._anew = False
        self.problem = ""
        self.summary: dict[str, Any] | None = None
        self.tracked = False
        self.untracked = ""
        self.synced: str | None = None

    def line(self, line: bytes) -> None:
        """Take up a line. What cannot be read is left out: it must not end a study."""
        try:
            found = json.loads(line) if len(line) <= LONGEST else None
        except (ValueError, RecursionError):
            return
        if isinstance(found, dict) and isinstance(kind := found.get("event"), str):
            with self._lock:
                self._take(kind, found)

    def news(self) -> bool:
        """Whether there is something to write."""
        with self._lock:
            return bool(self._events) or self._anew

    def take(self) -> tuple[Progress, list[Event]]:
        """The progress, and the events that wait; those must be put back where they could not be written."""
        with self._lock:
            events = list(self._events)
            self._events.clear()
            self._anew = False
            return self._progress, events

    def put_back(self, events: list[Event]) -> None:
        """See `take`."""
        with self._lock:
            self._anew = True
            self._events = deque([*events, *self._events], maxlen=MOST)

    def _take(self, kind: str, found: Mapping[str, Any]) -> None:
        match kind:
            case "stage":
                name, total = str(found.get("name", ""))[:100], _whole(found.get("total"))
                self._progress = replace(self._progress, stage=name, done=0, total=total)
                self._events.append(Event("stage", _data(found), key=name[:_KEY]))
            case "trial":
                self._trial(found)
            case "advance":
                self._progress = replace(self._progress, done=(self._progress.done or 0) + 1)
            case "note":
                text = str(found.get("text", ""))
                digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_KEY]
                self._events.append(Event("note", {"text": text}, key=digest))
            case "problem":
                self.problem = str(found.get("message", ""))
            case "deadline":
                self._events.append(Event("deadline", _data(found), key=str(found.get("ends", ""))[:_KEY]))
            case "result":
                tracked = found.get("mlflow")
                run = tracked.get("run_id") if isinstance(tracked, dict) else None
                self._progress = replace(self._progress, mlflow_run=run[:_KEY] if isinstance(run, str) else None)
            case "synced":
                self.synced = str(found.get("run", ""))[:_KEY]
            case "tracked":
                self.tracked, self.untracked = found.get("complete") is True, str(found.get("problem", ""))[:2000]
            case "summary":
                self.summary = found["summary"] if isinstance(found.get("summary"), dict) else None
            case _:
                return
        self._anew = True

    def _trial(self, found: Mapping[str, Any]) -> None:
        number = _whole(found.get("number"), NO_TRIAL)
        self._events.append(Event("trial", _data(found), trial=number))
        best = found.get("best")
        known = isinstance(best, int | float) and math.isfinite(best)
        self._progress = replace(
            self._progress,
            done=(self._progress.done or 0) + 1,
            best=float(best) if known and best is not None else self._progress.best,
        )


def _whole(value: object, default: int = 0) -> int:
    return value if isinstance(value, int) and abs(value) < 1 << 31 else default


def _data(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "event"}
