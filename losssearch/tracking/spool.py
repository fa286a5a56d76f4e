"""Pending calls of a tracker, and the file that keeps them while the tracking server is gone."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from losssearch.redaction import redacted
from losssearch.storage import codec
from losssearch.storage.records import TrialRecord
from losssearch.tracking.tracker import Tracker


@dataclass(frozen=True)
class Trials:
    """The arguments of one `Tracker.log_trials`."""

    trials: tuple[TrialRecord, ...]
    formulas: Mapping[int, str]
    metric: str

    def write(self, tracker: Tracker) -> None:
        """Make the call."""
        tracker.log_trials(self.trials, self.formulas, self.metric)

    def to_json(self, folder: Path) -> dict[str, Any]:
        """As parsed JSON, in a file in ``folder``."""
        trials = [codec.trial_to_json(trial) for trial in self.trials]
        return {"trials": trials, "formulas": dict(self.formulas), "metric": self.metric}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], folder: Path) -> Trials:
        """The inverse of `to_json`."""
        trials = tuple(codec.trial_from_json(trial) for trial in data["trials"])
        return cls(trials, {int(number): text for number, text in data["formulas"].items()}, data["metric"])


@dataclass(frozen=True)
class Result:
    """The arguments of one `Tracker.log_result`."""

    result: Mapping[str, Any]
    artifacts: tuple[Path, ...]
    metrics: Mapping[str, float]

    def write(self, tracker: Tracker) -> None:
        """Make the call."""
        tracker.log_result(self.result, self.artifacts, self.metrics)

    def to_json(self, folder: Path) -> dict[str, Any]:
        """As parsed JSON; paths in ``folder``, that of the study, are relative to it, as it may be moved."""
        own = folder.resolve()
        places = [path.resolve() for path in self.artifacts]
        artifacts = [str(place.relative_to(own) if place.is_relative_to(own) else place) for place in places]
        return {"result": dict(self.result), "artifacts": artifacts, "metrics": dict(self.metrics)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], folder: Path) -> Result:
        """The inverse of `to_json`."""
        return cls(data["result"], tuple(folder / path for path in data["artifacts"]), data["metrics"])


Entry: TypeAlias = Trials | Result


class Spool:
    """A file of JSON lines, one per entry, each with the run that it belongs to. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def add(self, run_id: str, entry: Entry) -> None:
        """Append an entry; raise `OSError` if the file cannot be written."""
        kind = "trials" if isinstance(entry, Trials) else "result"
        line = codec.dumps(redacted({"run_id": run_id, kind: entry.to_json(self.path.parent)}))
        with self._lock, self.path.open("a", encoding="ascii") as file:
            file.write(line + "\n")

    def replay(self, run_id: str, write: Callable[[Entry], None]) -> None:
        """Pass every entry of a run to ``write``, the oldest first, and drop those that it took.

        The error of a ``write`` ends the replay and is raised; lines of other runs, and lines that a crash cut
        off, stay where they are.
        """
        written = set()
        try:
            for index, line in enumerate(self._lines()):
                if (entry := _entry(line, run_id, self.path.parent)) is not None:
                    write(entry)
                    written.add(index)
        finally:
            if written:
                self._drop(written)

    def _lines(self) -> list[str]:
        with self._lock:
            return self.path.read_text(encoding="ascii").splitlines() if self.path.exists() else []

    def _drop(self, indices: set[int]) -> None:
        with self._lock:
            lines = self.path.read_text(encoding="ascii").splitlines(keepends=True)
            kept = [line for index, line in enumerate(lines) if index not in indices]
            if not kept:
                self.path.unlink()
                return
            fresh = self.path.with_suffix(".tmp")
            fresh.write_text("".join(kept), encoding="ascii")
            os.replace(fresh, self.path)


def _entry(line: str, run_id: str, folder: Path) -> Entry | None:
    try:
        data = codec.loads(line)
        if data.get("run_id") != run_id:
            return None
        if "trials" in data:
            return Trials.from_json(data["trials"], folder)
        return Result.from_json(data["result"], folder)
    except (ValueError, TypeError, AttributeError, LookupError):
        return None
