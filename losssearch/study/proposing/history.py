"""What the proposer learns from, in bounded memory: however long a study is, it fits the best and the latest trials."""

from __future__ import annotations

from bisect import insort

from losssearch.study.proposing.proposal import FITTED, STARTUP, Observation


class History:
    """The observations of a study that `losssearch.study.proposing.proposal.propose` makes use of, and the keys of all.

    `propose` gives the same for these and ``tried`` as for all observations.
    """

    def __init__(self, *, maximize: bool) -> None:
        self.tried: set[str] = set()
        self._sign = -1.0 if maximize else 1.0
        self._ranked: list[tuple[float, float, int]] = []
        self._best: dict[int, Observation] = {}
        self._latest: dict[int, Observation] = {}
        self._first: dict[int, Observation] = {}

    def add(self, seen: Observation) -> None:
        """Take in a trial, or what became of one that was running."""
        number = seen.number
        self.tried.add(seen.key)
        self._latest[number] = seen
        if len(self._latest) > 2 * FITTED:
            self._latest = dict(sorted(self._latest.items())[-FITTED:])
        if len(self._first) < STARTUP and seen.state in ("completed", "pruned"):
            self._first[number] = seen
        if seen.score is not None and number not in self._best:
            insort(self._ranked, seen.standing(self._sign))
            self._best[number] = seen
            if len(self._ranked) > FITTED // 2:
                del self._best[self._ranked.pop()[2]]

    @property
    def observations(self) -> list[Observation]:
        """Those that a proposal may depend on, by number."""
        known = self._first | self._best | self._latest
        return [known[number] for number in sorted(known)]
