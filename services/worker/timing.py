"""The seconds that a worker waits for this and that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.queue import LEASE, RETRIES


@dataclass(frozen=True)
class Timing:
    """All in seconds.

    Args:
        lease: how long a claim lasts after its last beat.
        beat: between two beats of a search that tells nothing.
        write: between two beats of one that does.
        poll: between two looks for a search to run, and for cancellations.
        urge: from the request to stop to a second one, where the search is to be cancelled.
        kill: from the request to stop to the end by force.
        stop: the same where the worker itself is asked to stop.
        end: how long the end of a search is tried to be written.
        margin: how long before the end of a lease that could not be renewed the study is killed.
        retries: before a failed search is tried again, one for each time.
    """

    lease: float = LEASE
    beat: float = 5.0
    write: float = 1.0
    poll: float = 0.5
    urge: float = 5.0
    kill: float = 20.0
    stop: float = 45.0
    end: float = 75.0
    margin: float = 3.0
    retries: Sequence[float] = RETRIES


TIMING = Timing()
