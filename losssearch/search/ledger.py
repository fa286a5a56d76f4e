"""The ledger of a study: every trial, in memory, in the store, at the tracker and before the observer's eyes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from losssearch.losses.spec import LossSpec
from losssearch.search.context import Context
from losssearch.search.proposal import Observation
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.training import Outcome


class Ledger:
    """All trials of a study by number; what is told here is stored first."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.trials: dict[int, TrialRecord] = {t.number: t for t in context.store.trials(context.settings.study)}
        self._observed: dict[int, Observation] = {}
        self._top = -math.inf
        self._observe(list(self.trials.values()))

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def ordered(self) -> list[TrialRecord]:
        """Every trial, by number."""
        return [self.trials[number] for number in sorted(self.trials)]

    @property
    def observations(self) -> list[Observation]:
        """What the proposer may learn from."""
        return list(self._observed.values())

    @property
    def best(self) -> float | None:
        """The best value so far in the metric's own unit."""
        return self.context.value(self._top) if self._top > -math.inf else None

    @property
    def menu_trials(self) -> int:
        """How many trials were the menu's."""
        return sum(trial.origin == "baseline" for trial in self.trials.values())

    def own(self) -> list[TrialRecord]:
        """Trials that were or are being trained themselves, by number."""
        states = (TrialState.RUNNING, TrialState.COMPLETED, TrialState.PRUNED)
        return [trial for trial in self.ordered if trial.twin is None and trial.state in states]

    def open(self) -> None:
        """Show observer and tracker what the store holds already.

        A killed driver's tracker may still have held some of it; what was tracked before is passed over.
        """
        done = [trial for trial in self.trials.values() if trial.state is not TrialState.RUNNING]
        self.context.observer.trials(done, self.best)
        self._track(done)

    def save(self, records: Sequence[TrialRecord]) -> None:
        """Write records to the store."""
        if records:
            self.context.store.save_trials(self.context.settings.study, list(records))

    def tell(self, records: Sequence[TrialRecord]) -> None:
        """Take in trials that ended."""
        if not records:
            return
        self.save(records)
        self.trials.update({record.number: record for record in records})
        self._observe(records)
        self._track(records)
        self.context.observer.trials(records, self.best)

    def trained(self, record: TrialRecord, outcome: Outcome, seconds: float) -> TrialRecord:
        """The record with what its training came to."""
        values = self.context.values(outcome)
        return replace(
            record,
            state=TrialState(outcome.state),
            value=sum(values) / len(values) if values else None,
            values=values,
            rate=outcome.rate,
            epochs=outcome.epochs,
            rungs=tuple((epoch, self.context.value(utility)) for epoch, utility in outcome.rungs),
            reason=outcome.reason,
            seconds=seconds,
        )

    def reused(self, record: TrialRecord) -> TrialRecord:
        """The record with what its twin reached."""
        assert record.twin is not None  # noqa: S101  (only twins come here)
        twin = self.trials[record.twin]
        state = TrialState.DUPLICATE if twin.key == record.key else TrialState.EQUIVALENT
        return replace(
            record,
            state=state,
            value=twin.value,
            values=twin.values,
            rate=twin.rate,
            epochs=twin.epochs,
            rungs=twin.rungs,
        )

    def _observe(self, records: Sequence[TrialRecord]) -> None:
        """Take in what trials teach, once each: a round of a long study must not go through all trials again."""
        for record in records:
            if record.params:
                self._observed[record.number] = _observation(record)
            if record.value is not None:
                self._top = max(self._top, self.context.metric.utility(record.value))

    def _track(self, records: Sequence[TrialRecord]) -> None:
        if records:
            formulas = {record.number: LossSpec.from_json(record.spec).formula() for record in records}
            self.context.tracker.log_trials(list(records), formulas, self.context.settings.metric)


def _observation(trial: TrialRecord) -> Observation:
    return Observation(
        number=trial.number,
        params=trial.params,
        distributions=trial.distributions,
        value=trial.value,
        state=trial.state,
        rungs=trial.rungs,
        key=trial.key,
    )
