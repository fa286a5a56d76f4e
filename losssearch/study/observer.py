"""What a study tells whoever watches it: a progress bar, a log, a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from losssearch.option_names import spelled
from losssearch.redaction import redact
from losssearch.storage.records import TrialRecord


@dataclass(frozen=True)
class Population:
    """A population whose training begins.

    Attributes:
        stage: the stage that it belongs to, such as ``search``.
        trials: the numbers of its trials.
        epochs: the epochs that it is trained for, unless all of it is dropped before.
        worker: who trains it: ``"this process"``, or ``"worker PID"``.
    """

    stage: str
    trials: tuple[int, ...]
    epochs: int
    worker: str


class Observer(Protocol):
    """Receives the progress of a study, at once; must not raise.

    An observer of your own may leave out methods that it has no use for.
    """

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

    def resumed(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """The store holds these trials, which an earlier run of the study ended; called once, maybe with none.

        An observer without this method is told of them by `trials`.
        """
        ...

    def population(self, started: Population) -> None:
        """The training of a population begins; told again where a worker was lost, and another one trains it."""
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

    def finished(self, result: Mapping[str, Any]) -> None:
        """All is done and written; ``result`` is the content of ``result.json``."""
        ...


class SilentObserver:
    """Watches nothing."""

    def note(self, message: str) -> None:
        """See `Observer.note`."""

    def stage(self, name: str, total: int) -> None:
        """See `Observer.stage`."""

    def deadline(self, seconds: float) -> None:
        """See `Observer.deadline`."""

    def resumed(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `Observer.resumed`."""
        self.trials(records, best)

    def population(self, started: Population) -> None:
        """See `Observer.population`."""

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `Observer.trials`."""

    def underway(self, value: float) -> None:
        """See `Observer.underway`."""

    def advance(self) -> None:
        """See `Observer.advance`."""

    def finished(self, result: Mapping[str, Any]) -> None:
        """See `Observer.finished`."""


class Recorder:
    """Keeps the notes, each once and in their order, and hands all on to ``observer``, which may lack methods."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """See `Observer.note`."""
        said = spelled(redact(message))
        if said not in self.notes:
            self.notes.append(said)
        self._tell("note", said)

    def stage(self, name: str, total: int) -> None:
        """See `Observer.stage`."""
        self._tell("stage", name, total)

    def deadline(self, seconds: float) -> None:
        """See `Observer.deadline`."""
        self._tell("deadline", seconds)

    def resumed(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `Observer.resumed`."""
        self._tell("resumed" if hasattr(self.observer, "resumed") else "trials", records, best)

    def population(self, started: Population) -> None:
        """See `Observer.population`."""
        self._tell("population", started)

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `Observer.trials`."""
        self._tell("trials", records, best)

    def underway(self, value: float) -> None:
        """See `Observer.underway`."""
        self._tell("underway", value)

    def advance(self) -> None:
        """See `Observer.advance`."""
        self._tell("advance")

    def finished(self, result: Mapping[str, Any]) -> None:
        """See `Observer.finished`."""
        self._tell("finished", result)

    def _tell(self, method: str, *told: Any) -> None:
        called = getattr(self.observer, method, None)
        if called is not None:
            called(*told)
