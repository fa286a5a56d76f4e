"""Trials that were being trained when a driver was killed: counted, trained again alone, and given up at last.

A loss may kill the process that trains it, by taking all memory or by a fault in native code. Nothing but a kill
counts: a stop by Ctrl-C or SIGTERM and an error release the study's lease, and a lease that was left behind tells
a kill. What was being trained is noted in the store, so that trials which merely waited for their turn are not
suspected.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.selecting.selection import incumbent_name
from losssearch.study.study_context import StudyContext

ATTEMPTS = 3
"""How many kills a trial may be in before it is trained alone."""

UNDERWAY = "underway"
"""Stage of the store that holds the numbers of the trials in training."""


class Suspects:
    """Says of the trials that a driver left running which to train again, which alone, and which not at all."""

    def __init__(self, context: StudyContext) -> None:
        self._context = context
        self._needed = (context.task.plain.name, incumbent_name(context.task))

    def note(self, numbers: Collection[int]) -> None:
        """Store which trials are in training from now on."""
        self._context.store.save_stage(self._context.settings.study, UNDERWAY, {"trials": sorted(numbers)})

    def judge(self, left: Sequence[TrialRecord]) -> tuple[list[TrialRecord], list[TrialRecord]]:
        """Those of the trials ``left`` running to train again, with one more attempt where they count; those given up.

        A trial is given up where the program was killed once more while it was trained alone.
        """
        store, study = self._context.store, self._context.settings.study
        underway = (store.stage(study, UNDERWAY) or {"trials": []})["trials"]
        if not underway or not store.taken_over(study):
            return list(left), []
        counted = [replace(trial, attempts=trial.attempts + (trial.number in underway)) for trial in left]
        hopeless = [t for t in counted if underway == [t.number] and t.attempts > ATTEMPTS and self.may_fail(t)]
        given_up = [self.given_up(t, f"the program was killed {t.attempts} times while it ran") for t in hopeless]
        gone = {trial.number for trial in given_up}
        return [trial for trial in counted if trial.number not in gone], given_up

    def suspected(self, trial: TrialRecord) -> bool:
        """Whether a trial must be trained alone."""
        return trial.attempts >= ATTEMPTS

    def may_fail(self, trial: TrialRecord) -> bool:
        """Whether a trial may be given up: not the plain loss and the incumbent, which all are compared with."""
        return trial.name not in self._needed

    def given_up(self, trial: TrialRecord, reason: str) -> TrialRecord:
        """The trial as failed."""
        return replace(trial, state=TrialState.FAILED, reason=f"{reason}, the last time alone")
