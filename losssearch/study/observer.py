"""What a study tells whoever watches it: a progress bar, a log, a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from losssearch.option_names import spelled
from losssearch.redaction import redact
from losssearch.storage.records import TrialRecord


class Observer(Protocol):
    """Receives the progress of a study; must not raise."""

    def note(self, message: str) -> None:
        """Something was decided that the user would want to know."""
        ...

    def stage(self, name: str, total: int) -> None:
        """A stage begins: ``search`` counts trials, the others count populations.

        ``total`` is 0 where only a time budget ends the search.
        """
        ...

    def deadline(self, seconds: float) -> None:
        """The study has a time budget with this many ``seconds`` left; called before the first stage."""
        ...

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """Trials ended; ``best`` is the best value so far in the metric's own unit."""
        ...

    def underway(self, value: float) -> None:
        """A training of the search that has not ended has reached ``value``, better than all before, in its own unit.

        It is provisional: the training may still fail. When it is told depends on time, and where the record of the
        trial follows at once it may not be told at all.
        """
        ...

    def advance(self) -> None:
        """One population of a later stage ended."""
        ...


class SilentObserver:
    """Watches nothing."""

    def note(self, message: str) -> None:
        """See `Observer.note`."""

    def stage(self, name: str, total: int) -> None:
        """See `Observer.stage`."""

    def deadline(self, seconds: float) -> None:
        """See `Observer.deadline`."""

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `Observer.trials`."""

    def underway(self, value: float) -> None:
        """See `Observer.underway`."""

    def advance(self) -> None:
        """See `Observer.advance`."""


class Recorder:
    """Keeps the notes, each once and in their order, and hands all on to ``observer``."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """See `Observer.note`."""
        said = spelled(redact(message))
        if said not in self.notes:
            self.notes.append(said)
        self.observer.note(said)

    def stage(self, name: str, total: int) -> None:
        """See `Observer.stage`."""
        self.observer.stage(name, total)

    def deadline(self, seconds: float) -> None:
        """See `Observer.deadline`."""
        self.observer.deadline(seconds)

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `Observer.trials`."""
        self.observer.trials(records, best)

    def underway(self, value: float) -> None:
        """See `Observer.underway`."""
        self.observer.underway(value)

    def advance(self) -> None:
        """See `Observer.advance`."""
        self.observer.advance()
