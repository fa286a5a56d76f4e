"""The interface of a tracker, and a tracker that records nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from losssearch.storage.records import TrialRecord

Status = Literal["FINISHED", "KILLED", "FAILED"]
"""How a study ended: by itself, stopped by the user, by an error."""


@dataclass(frozen=True)
class DatasetInfo:
    """What a tracker may know of the data: no row of them.

    ``source`` is the name that the user gave, of a file without its folder; ``rows`` and ``features`` are counts.
    """

    name: str
    fingerprint: str
    rows: int
    features: int
    target: str
    source: str


class Tracker(Protocol):
    """Records a study for people to look at. The study itself never reads it back.

    Calls come in the order `prepare`, `start`, then `log_trials` and `log_result`, then `close`. Each raises
    `ConnectionLostError` if the tracking store cannot be reached. Logging is idempotent: a trial that was
    recorded already, in this process or an earlier one, is not recorded again.
    """

    @property
    def problems(self) -> Sequence[str]:
        """Unresolved problems, one sentence each, shown at the end of a search."""
        ...

    def prepare(self) -> None:
        """Do slow set-up ahead of `start`; may be left out."""
        ...

    def start(
        self,
        study: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        dataset: DatasetInfo,
        *,
        run_id: str | None = None,
    ) -> dict[str, str]:
        """Open the record of a study, or continue the one that ``run_id`` names.

        Returns:
            ``tracking_uri``, ``experiment`` and ``run_id``; empty if nothing is recorded.
        """
        ...

    def log_trials(self, trials: Sequence[TrialRecord], formulas: Mapping[int, str], metric: str) -> None:
        """Record ended trials. ``formulas`` are by trial number; ``metric`` is its name, such as ``f1``."""
        ...

    def log_result(self, result: Mapping[str, Any], artifacts: Sequence[Path], metrics: Mapping[str, float]) -> None:
        """Record the content of ``result.json``, files and folders, and the figures to compare studies by."""
        ...

    def close(self, status: Status) -> None:
        """End the record."""
        ...


class SilentTracker:
    """A `Tracker` that records nothing."""

    @property
    def problems(self) -> Sequence[str]:
        """None."""
        return ()

    def prepare(self) -> None:
        """Do nothing."""

    def start(
        self,
        study: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        dataset: DatasetInfo,
        *,
        run_id: str | None = None,
    ) -> dict[str, str]:
        """Record nothing; return an empty mapping."""
        return {}

    def log_trials(self, trials: Sequence[TrialRecord], formulas: Mapping[int, str], metric: str) -> None:
        """Record nothing."""

    def log_result(self, result: Mapping[str, Any], artifacts: Sequence[Path], metrics: Mapping[str, float]) -> None:
        """Record nothing."""

    def close(self, status: Status) -> None:
        """Do nothing."""
