"""The interface of a store: everything that a study needs after its driver was killed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from losssearch.storage.records import StudyRecord, TrialRecord, TrialState


class Store(Protocol):
    """Keeps studies, their trials and the stages of their selection.

    Each method is one transaction: it is kept whole, or not at all. Records come back equal to what went
    in, non-finite numbers included. Every method raises `ConnectionLostError` if the database cannot be
    reached or written after a while, and those that take a study raise `UnknownNameError` with the
    nearest names where there is none of that name. What comes back was written by losssearch: anything else is a
    `DataError`.
    """

    def create_study(self, study: StudyRecord) -> None:
        """Enter a new study; raise `OptionError` if the name is taken."""
        ...

    def study(self, name: str) -> StudyRecord:
        """Look a study up."""
        ...

    def studies(self) -> list[str]:
        """The names of all studies, the oldest first."""
        ...

    def save_trials(self, study: str, trials: Sequence[TrialRecord]) -> None:
        """Write trials; one whose number is there already is replaced."""
        ...

    def trials(
        self, study: str, numbers: Sequence[int] | None = None, *, after: int | None = None, limit: int | None = None
    ) -> list[TrialRecord]:
        """All trials of a study, or those of ``numbers`` that are there, ordered by number.

        A page of them has numbers above ``after``, and at most ``limit`` trials.
        """
        ...

    def top(self, study: str, n: int, *, maximize: bool) -> list[TrialRecord]:
        """The at most ``n`` completed trials with the best finite values, the best first, of equal ones the earlier.

        Values alone count, not whether limits are satisfied.
        """
        ...

    def counts(self, study: str) -> Mapping[TrialState, int]:
        """How many trials of a study are in each state, zeros included."""
        ...

    def delete(self, study: str) -> None:
        """Remove a study with its trials and stages.

        Raises:
            StudyHeldError: a live driver holds the study, be it this one.
        """
        ...

    def check(self, study: str) -> None:
        """Raise `DataError`, which names the store, where a study's trials are damaged or not all there."""
        ...

    def save_stage(self, study: str, stage: str, payload: Mapping[str, Any]) -> None:
        """Write what one stage of the selection found, in place of what it found before."""
        ...

    def stage(self, study: str, stage: str) -> dict[str, Any] | None:
        """What a stage found; None if it has not ended yet."""
        ...

    def save_tracking(self, study: str, tracking: Mapping[str, str]) -> None:
        """Write where the tracker records this study."""
        ...

    def save_result(self, study: str, result: Mapping[str, Any]) -> None:
        """Write the content of ``result.json``."""
        ...

    def acquire(self, study: str) -> None:
        """Become the one driver of a study, until `release` or `close`.

        The lease is renewed in the background. It is taken over from a driver whose process is dead, or
        that has not renewed it for a minute, or that works for an earlier attempt of the same job; the old driver's
        next write then raises `ConnectionLostError`.

        Raises:
            StudyHeldError: another live driver holds the study; the message names it.
        """
        ...

    def refuse_held(self, study: str) -> None:
        """Raise `StudyHeldError` if `acquire` would do so now; nothing is written, and a study may be missing."""
        ...

    def taken_over(self, study: str) -> bool:
        """Whether `acquire` found the lease of a driver that was killed, or that stood still for a minute."""
        ...

    def release(self, study: str) -> None:
        """Give the lease back; nothing happens where this store does not hold it."""
        ...

    def close(self) -> None:
        """Give all leases back and close every connection; may be called twice."""
        ...
