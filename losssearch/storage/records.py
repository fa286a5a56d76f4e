"""The records of a store as plain values: studies, trials and the stages of a selection."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from losssearch.redaction import redact


class TrialState(StrEnum):
    """The state of a trial. RUNNING is the only state that a resumed study runs again."""

    RUNNING = "running"
    COMPLETED = "completed"
    PRUNED = "pruned"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    EQUIVALENT = "equivalent"
    FAILED = "failed"


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a study: a candidate, where it came from, and what it reached.

    ``params`` and ``distributions`` are the sampler's view (distributions as its JSON strings), empty for
    a baseline that the space cannot express. ``value`` is the metric on validation, in the metric's own
    unit, averaged over ``values``, one per replica. ``rungs`` are pairs (epoch, value). ``twin`` is the number
    of the trial whose value a duplicate or equivalent one took over.
    """

    number: int
    origin: str
    """``"baseline"`` or ``"searched"``."""
    name: str
    """The baseline's name, or ``searched-NUMBER``."""
    spec: dict[str, Any]
    key: str
    state: TrialState = TrialState.RUNNING
    params: dict[str, Any] = field(default_factory=dict)
    distributions: dict[str, str] = field(default_factory=dict)
    value: float | None = None
    values: tuple[float, ...] = ()
    rate: float | None = None
    epochs: int | None = None
    rungs: tuple[tuple[int, float], ...] = ()
    twin: int | None = None
    details: tuple[tuple[float, ...], ...] = ()
    """One tuple a replica. Under constraints: the metric, the worst excess over a limit in units of it, and the gap of
    each constraint. For a front: the best utility within each limit."""
    reason: str = ""
    best_epochs: tuple[int, ...] = ()
    """The epoch whose weights count, one per replica; empty if a user's function trains, or in older stores."""
    trained: int | None = None
    """Epochs until training ended, and below: how many there could have been."""
    most: int | None = None
    attempts: int = 0
    seconds: float = 0.0
    started: str | None = field(default=None, compare=False)
    """When the trial was first written, ISO 8601, UTC; set by the store, None in one of version 1."""
    ended: str | None = field(default=None, compare=False)
    """When its result was written, likewise; None while it runs."""

    def __post_init__(self) -> None:
        if self.reason:  # may be what a user's own code or a library said
            object.__setattr__(self, "reason", redact(self.reason))


@dataclass(frozen=True)
class StudyRecord:
    """A study: its name, and the configuration that a resume must find unchanged."""

    name: str
    config: dict[str, Any]
    version: str
    created: str
    """ISO 8601, UTC."""
    tracking: dict[str, str] = field(default_factory=dict)
    """Where the tracker wrote: ``tracking_uri``, ``experiment``, ``run_id``; empty without one."""
    result: dict[str, Any] | None = None
    """The content of ``result.json`` once the study is finished."""
