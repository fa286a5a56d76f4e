"""The ledger of a study: every trial, in memory, in the store, at the tracker and before the observer's eyes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from losssearch import stopping
from losssearch.losses.spec import LossSpec
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.proposing.proposal import History, Observation
from losssearch.study.proposing.screening import NOWHERE
from losssearch.study.study_context import StudyContext
from losssearch.training import Outcome
from losssearch.training.outcome import NEVER_FINITE

OWN = (TrialState.RUNNING, TrialState.COMPLETED, TrialState.PRUNED)
"""States of a trial that was or is being trained itself, and whose result another may take over."""

_REASONS = 5
"""Reasons that are told at most."""

_CODES = {state: code for code, state in enumerate(TrialState, start=1)}


class Ledger:
    """All trials of a study; what is told here is stored first.

    It keeps a few bytes per trial and the observations that proposals need; the store keeps the rest.
    """

    def __init__(self, context: StudyContext) -> None:
        self.context = context
        self.keys: dict[str, int] = {}
        """Numbers of the trials in a state of `OWN` that are no twins, by the key of their loss."""
        self.menu_trials = 0
        """How many trials were the menu's."""
        self.left_running: list[TrialRecord] = []
        """Trials that the store held as running when it was opened."""
        self._codes = bytearray()
        self._count = 0
        self._history = History(maximize=context.metric.direction == "maximize")
        self._top = self._heard = -math.inf
        stored = context.store.trials(context.settings.study)
        self._enter(stored)
        self._observe(stored)
        self.left_running = [trial for trial in stored if trial.state is TrialState.RUNNING]

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        return number < len(self._codes) and self._codes[number] > 0

    @property
    def ordered(self) -> list[TrialRecord]:
        """Every trial, by number, from the store."""
        return self.context.store.trials(self.context.settings.study)

    @property
    def observations(self) -> list[Observation]:
        """What the proposer may learn from."""
        return self._history.observations

    @property
    def tried(self) -> set[str]:
        """The keys of all that it must not propose again."""
        return self._history.tried

    @property
    def best(self) -> float | None:
        """The best value so far in the metric's own unit."""
        return self.context.value(self._top) if self._top > -math.inf else None

    def open(self) -> None:
        """Show observer and tracker what the store holds already.

        A killed driver's tracker may still have held some of it; what was tracked before is passed over.
        """
        done = [trial for trial in self.ordered if trial.state is not TrialState.RUNNING]
        self.context.observer.resumed(done, self.best)
        self._track(done)

    def save(self, records: Sequence[TrialRecord], admitted: Sequence[TrialRecord] | None = None) -> None:
        """Write records to the store; ``admitted`` are the same as they count here, where that differs."""
        stopping.check()
        if records:
            self.context.store.save_trials(self.context.settings.study, list(records))
        self._enter(records if admitted is None else admitted)

    def tell(self, records: Sequence[TrialRecord]) -> None:
        """Take in trials that ended."""
        if not records:
            return
        self.save(records)
        self._observe(records)
        self._track(records)
        self.context.observer.trials(records, self.best)

    def hear(self, utility: float) -> None:
        """Tell the observer of a training under way, where it is ahead of all that it was told."""
        if utility > max(self._top, self._heard):
            self._heard = utility
            self.context.observer.underway(self.context.value(utility))

    def ended(self, number: int | None) -> bool:
        """Whether the trial with this number is there and has ended."""
        return number is not None and number in self and self._codes[number] != _CODES[TrialState.RUNNING]

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
            best_epochs=outcome.best_epochs,
            trained=outcome.trained or None,
            most=outcome.most or None,
            rungs=tuple((epoch, self.context.value(utility)) for epoch, utility in outcome.rungs),
            details=outcome.details,
            reason=outcome.reason.replace(NEVER_FINITE, f"metric {self.context.metric.name} gave no finite number"),
            seconds=seconds,
        )

    def reused(self, records: Sequence[TrialRecord]) -> list[TrialRecord]:
        """The records with what their twins reached."""
        if not records:
            return []
        numbers = {record.twin for record in records if record.twin is not None}
        found = self.context.store.trials(self.context.settings.study, sorted(numbers))
        twins = {twin.number: twin for twin in found}
        return [_taken_over(record, twins[record.twin]) for record in records if record.twin is not None]

    def _enter(self, records: Sequence[TrialRecord]) -> None:
        """Note what state each record is in now."""
        for record in records:
            number = record.number
            if number >= len(self._codes):
                self._codes.extend(bytes(number + 1 - len(self._codes)))
            if not self._codes[number]:
                self._count += 1
                self.menu_trials += record.origin == "baseline"
            self._codes[number] = _CODES[record.state]
            if record.twin is None and record.state in OWN:
                self.keys[record.key] = number
            elif self.keys.get(record.key) == number:
                del self.keys[record.key]

    def _observe(self, records: Sequence[TrialRecord]) -> None:
        """Take in what trials teach, once each: a round of a long study must not go through all trials again."""
        for record in records:
            excess = self.context.excess(record)
            if record.params:
                self._history.add(_observation(record, excess))
            if record.value is not None and excess <= 0:
                self._top = max(self._top, self.context.metric.utility(record.value))

    def _track(self, records: Sequence[TrialRecord]) -> None:
        if records:
            formulas = {record.number: LossSpec.from_json(record.spec).formula() for record in records}
            self.context.tracker.log_trials(list(records), formulas, self.context.settings.metric)


def _taken_over(record: TrialRecord, twin: TrialRecord) -> TrialRecord:
    return replace(
        record,
        state=TrialState.DUPLICATE if twin.key == record.key else TrialState.EQUIVALENT,
        value=twin.value,
        values=twin.values,
        rate=twin.rate,
        epochs=twin.epochs,
        best_epochs=twin.best_epochs,
        trained=twin.trained,
        most=twin.most,
        rungs=twin.rungs,
        details=twin.details,
    )


def _observation(trial: TrialRecord, excess: float) -> Observation:
    return Observation(
        number=trial.number,
        params=trial.params,
        distributions=trial.distributions,
        value=trial.value,
        state=trial.state,
        rungs=trial.rungs,
        key=trial.key,
        excess=excess,
    )


def rejections(trials: Sequence[TrialRecord]) -> str:
    """A sentence where screening rejected most of the searched losses, or some for a fault; else empty.

    To lead nowhere is no fault: screening is there for it.
    """
    searched = [trial for trial in trials if trial.origin == "searched"]
    rejected = [trial for trial in searched if trial.state is TrialState.REJECTED]
    faulty = [trial for trial in rejected if trial.reason != NOWHERE]
    told = rejected if 2 * len(rejected) > len(searched) else faulty
    if not told:
        return ""
    reasons = Counter(trial.reason for trial in told).most_common(_REASONS)
    counts = (f"{reason}{f' ({count})' * (len(reasons) > 1)}" for reason, count in reasons)
    return f"{len(told)} of {len(searched)} searched losses were rejected before training: {'; '.join(counts)}"


def reasons_of(trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """Why trials were rejected or failed, the commonest reasons first: how many, and the formula of the first."""
    ended = [trial for trial in trials if trial.state in (TrialState.REJECTED, TrialState.FAILED) and trial.reason]
    found = Counter((trial.state.value, trial.reason) for trial in ended).most_common(_REASONS)
    first = {(trial.state.value, trial.reason): trial for trial in reversed(ended)}
    return [
        {
            "state": state,
            "reason": reason,
            "count": count,
            "formula": LossSpec.from_json(first[state, reason].spec).formula(),
        }
        for (state, reason), count in found
    ]
