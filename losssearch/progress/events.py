"""Progress for programs: each event as one line of JSON. docs/events.md lists the events and their fields."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

from losssearch.losses.spec import LossSpec
from losssearch.progress.stages import TITLES
from losssearch.redaction import redacted
from losssearch.storage.records import TrialRecord
from losssearch.study.observer import Population

_VERDICT = ("recommended", "against", "grade", "probability_better", "difference", "interval", "level", "test", "text")


class EventLines:
    """Writes each event of a study as one line of JSON to ``stream`` and flushes it. An `Observer`.

    Every line has ``event``, its name, and ``at``, when it happened: ISO 8601 in UTC, with microseconds. A stream that
    cannot be written any more does not end the study.

    Args:
        stream: where to write, as text.
        clock: tells the time, in UTC.

    Example:
        >>> import sys
        >>> from datetime import UTC, datetime
        >>> events = EventLines(sys.stdout, lambda: datetime(2026, 1, 2, tzinfo=UTC))
        >>> events.stage("search", 64)
        {"event": "stage", "at": "2026-01-02T00:00:00.000000Z", "name": "search", "title": "Searching", "total": 64}
    """

    def __init__(self, stream: TextIO, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._stream, self._clock = stream, clock
        self._stage, self._done, self._total = "", 0, 0
        self._lock = threading.Lock()

    def note(self, message: str) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._write("note", text=" ".join(message.split()))

    def stage(self, name: str, total: int) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._stage, self._done, self._total = name, 0, total
        self._write("stage", name=name, title=TITLES.get(name, name), total=total)

    def deadline(self, seconds: float) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._write("deadline", seconds=round(seconds, 3), ends=_text(self._clock() + timedelta(seconds=seconds)))

    def resumed(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._write_trials(records, best, replayed=True)

    def population(self, started: Population) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._write(
            "population",
            stage=started.stage,
            trials=list(started.trials),
            epochs=started.epochs,
            worker=started.worker,
        )

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._write_trials(records, best, replayed=False)

    def underway(self, value: float) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._write("underway", value=value)

    def advance(self) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._done += 1
        self._write("advance", stage=self._stage, done=self._done, total=self._total)

    def finished(self, result: Mapping[str, Any]) -> None:
        """See `losssearch.study.observer.Observer`."""
        verdict, best, tracked = result["verdict"], result["best"], result.get("mlflow") or {}
        self._write(
            "result",
            verdict={name: verdict.get(name) for name in _VERDICT},
            unmet=verdict.get("unmet"),
            best={name: best.get(name) for name in ("name", "formula", "trial")},
            trials=result["trials"],
            mlflow={name: tracked.get(name) for name in ("run_id", "complete", "problems")},
        )

    def _write_trials(self, records: Sequence[TrialRecord], best: float | None, *, replayed: bool) -> None:
        for record in records:
            self._write(
                "trial",
                number=record.number,
                name=record.name,
                origin=record.origin,
                state=record.state.value,
                value=record.value,
                formula=LossSpec.from_json(record.spec).formula(),
                rate=record.rate,
                epochs=record.epochs,
                seconds=round(record.seconds, 3),
                reason=record.reason,
                twin=record.twin,
                best=best,
                replayed=replayed,
                ended=_kept(record.ended) if replayed else _text(self._clock()),
            )

    def _write(self, event: str, **fields: Any) -> None:
        content = {"event": event, "at": _text(self._clock()), **_plain(redacted(fields))}
        line = json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
        # Whoever reads may have gone; notes come from several threads.
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(line)
            self._stream.flush()


def events_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The events of a stream, in their order; a line that is no event, such as one that was cut off, is left out."""
    for line in lines:
        with suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict) and isinstance(found.get("event"), str):
                yield found


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _kept(moment: str | None) -> str | None:
    """A time that a store keeps; None in one of an earlier version."""
    return None if moment is None else _text(datetime.fromisoformat(moment))


def _plain(value: Any) -> Any:
    """The same with None in place of numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
